//! Templates over one line of data, as lm-evaluation-harness renders them.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, UndefinedBehavior, Value};

/// A template engine that is strict about names and prints as Python does.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the delimiters are the standard ones"));
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.set_formatter(|output, state, value| match (value.kind(), value.is_true()) {
        (ValueKind::None, _) => Ok(output.write_str("None")?),
        (ValueKind::Bool, true) => Ok(output.write_str("True")?),
        (ValueKind::Bool, false) => Ok(output.write_str("False")?),
        _ => minijinja::escape_formatter(output, state, value),
    });
    environment
}

/// A column's value, or what a template gives.
#[derive(Clone, Debug)]
pub(super) enum Given {
    Column(Value),
    Rendered(String),
}

/// `source` is the name of a column, or a template.
pub(super) fn evaluate(
    environment: &Environment<'_>,
    source: &str,
    line: &Value,
) -> Result<Given, String> {
    if let Some(value) = column(source, line) {
        return Ok(Given::Column(value));
    }
    let rendered = environment.render_str(source, line);
    rendered.map(Given::Rendered).map_err(|error| explain(&error, line))
}

/// `source` is the name of a column, or one `{{ expression }}`: its value, not its text.
pub(super) fn value(
    environment: &Environment<'_>,
    source: &str,
    line: &Value,
) -> Result<Value, String> {
    if let Some(value) = column(source, line) {
        return Ok(value);
    }
    let inner = source.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
    let Some(expression) = inner.filter(|inner| !inner.contains("{{")) else {
        return Err(format!(
            "`{source}` is neither a column nor one {{{{ expression }}}}; {}",
            columns(line)
        ));
    };
    let compiled = environment.compile_expression(expression).map_err(|it| explain(&it, line))?;
    let value = compiled.eval(line).map_err(|it| explain(&it, line))?;
    if value.is_undefined() {
        return Err(format!("`{}` is not defined; {}", expression.trim(), columns(line)));
    }
    Ok(value)
}

/// A value as text: a string without quotes.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn column(source: &str, line: &Value) -> Option<Value> {
    line.get_attr(source).ok().filter(|value| !value.is_undefined())
}

fn explain(error: &minijinja::Error, line: &Value) -> String {
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let at = error.line().map(|line| format!(" (template line {line})")).unwrap_or_default();
    format!("{what}{at}; {}", columns(line))
}

fn columns(line: &Value) -> String {
    let names: Vec<String> =
        line.try_iter().map(|names| names.map(|name| text(&name)).collect()).unwrap_or_default();
    format!("the line has: {}", names.join(", "))
}
