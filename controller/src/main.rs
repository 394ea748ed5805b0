//! Parse, build, run, drain.

use std::io::IsTerminal;
use std::process::ExitCode;

use assay_api::view::TokenRequest;
use assay_controller::config::{Command, Config, Token};
use assay_controller::store::Store;
use assay_controller::{access, http, postgres, serve};
use clap::Parser;
use tracing_subscriber::EnvFilter;

/// `EX_USAGE`: a bad command line is told apart from a crash.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let config = match Config::try_parse() {
        Ok(config) => config,
        Err(error) => {
            let _printed = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { 0 });
        }
    };
    let filter = EnvFilter::try_from_env("ASSAY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let is_terminal = std::io::stderr().is_terminal();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(is_terminal);
    log.with_writer(std::io::stderr).init();
    die_whole();
    let runtime = tokio::runtime::Runtime::new().expect("threads can be started");
    match runtime.block_on(run(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: Config) -> anyhow::Result<()> {
    let Config { command, trap } = config;
    // what was to run next on the thread that waits goes to another one
    trap.into_iter().for_each(|trap| trap.set(|wait| tokio::task::block_in_place(wait)));
    match command {
        Command::Serve(options) => serve::serve(*options).await,
        Command::Migrate { database_url } => {
            Ok(Store::connect(&database_url).await?.migrate().await?)
        }
        Command::Token(Token { name, role, database_url, data }) => {
            let url = database_url.map_or_else(|| postgres::running(&data.join("postgres")), Ok)?;
            let store = Store::connect(&url).await?;
            let asked = TokenRequest { name, role, expires_in_s: None };
            let made = access::create(&store.db, None, &asked, "assay-controller token").await?;
            print(&made.secret)
        }
        Command::Openapi => print(&http::openapi()),
    }
}

#[expect(clippy::print_stdout, reason = "the document is this command's result")]
#[expect(clippy::unnecessary_wraps, reason = "one arm of a match whose others can fail")]
fn print(text: &str) -> anyhow::Result<()> {
    println!("{text}");
    Ok(())
}

/// A loop that panicked must not leave a server behind that only looks alive: whoever started this
/// process starts the next.
fn die_whole() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}
