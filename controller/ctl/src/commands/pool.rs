//! `ctl pool`: where attempts run, and whether it answers.

use std::process::ExitCode;

use assay_api::view::{PoolHealth, PoolKind, PoolView};
use clap::Subcommand;

use super::Session;
use crate::print::{self, Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the pools: how full they are, and why one cannot be reached.
    Ls,
}

pub(crate) async fn run(session: &Session, command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Ls = command;
    let pools = session.client.pools().await?;
    print::view(session.format, &pools, |pools| table(pools))?;
    Ok(ExitCode::SUCCESS)
}

fn table(pools: &[PoolView]) -> String {
    let mut table = Table::new(&["pool", "runs", ">used", ">slots", "health"]);
    for pool in pools {
        let kind = match pool.kind {
            PoolKind::Local => "processes here",
            PoolKind::Kubernetes => "Jobs on Kubernetes",
        };
        let health = match (pool.health, &pool.why) {
            (PoolHealth::Ok, _) => "ok".to_owned(),
            (PoolHealth::Unknown, Some(why)) => format!("not reached: {why}"),
            (PoolHealth::Unknown, None) => "not reached".to_owned(),
        };
        let (used, slots) = (pool.used.to_string(), pool.capacity.to_string());
        table.row([pool.name.clone(), kind.to_owned(), used, slots, health]);
    }
    table.text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_that_is_not_reached_says_why() {
        let pool = |name: &str, why: Option<&str>| PoolView {
            name: name.to_owned(),
            kind: PoolKind::Kubernetes,
            capacity: 16,
            used: 3,
            health: if why.is_some() { PoolHealth::Unknown } else { PoolHealth::Ok },
            why: why.map(str::to_owned),
        };
        let text = table(&[pool("h100", None), pool("b200", Some("connection refused"))]);
        assert_eq!(
            text,
            "pool  runs                used  slots  health\n\
             h100  Jobs on Kubernetes     3     16  ok\n\
             b200  Jobs on Kubernetes     3     16  not reached: connection refused\n"
        );
    }
}
