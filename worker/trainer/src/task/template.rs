//! Templates over one line of data, as lm-evaluation-harness renders them.

use std::io::{self, Write};

use assay_api::sweep::limits::{TASK_STEPS_MAX, TASK_TEXT_BYTES_MAX};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior, Value};

/// A template engine that is strict about names, prints as Python does, and comes to an end.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(TASK_STEPS_MAX));
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
    let mut text = Text(Vec::new());
    let template = environment.template_from_str(source).map_err(|it| explain(&it, line))?;
    template.render_captured_to(line.clone(), &mut text).map_err(|it| explain(&it, line))?;
    Ok(Given::Rendered(String::from_utf8(text.0).expect("a template gives text")))
}

/// No more than a question may have.
struct Text(Vec<u8>);

impl Write for Text {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if TASK_TEXT_BYTES_MAX < self.0.len() + more.len() {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        self.0.write(more)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
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

fn explain(error: &Error, line: &Value) -> String {
    if error.kind() == ErrorKind::OutOfFuel {
        return format!("over the limit of {TASK_STEPS_MAX} steps for a line");
    }
    if error.kind() == ErrorKind::WriteFailure {
        return format!("gives over the limit of {TASK_TEXT_BYTES_MAX} bytes for a line");
    }
    let what = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let at = error.line().map(|line| format!(" (template line {line})")).unwrap_or_default();
    format!("{what}{at}; {}", columns(line))
}

fn columns(line: &Value) -> String {
    let names: Vec<String> =
        line.try_iter().map(|names| names.map(|name| text(&name)).collect()).unwrap_or_default();
    format!("the line has: {}", names.join(", "))
}
