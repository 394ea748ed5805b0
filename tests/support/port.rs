//! Ports that controllers of tests listen on.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below those that the kernel gives to outgoing connections (`ip_local_port_range`): one of those could
/// take a port between the look at it and its controller.
const PORTS: Range<u16> = 20_000..32_000;

/// Given out by this process so far.
static GIVEN: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens on, another one each time; where to begin depends on the process.
///
/// # Panics
/// If all of them are taken.
pub(crate) fn free() -> u16 {
    let begin = u16::try_from(std::process::id() % 120).expect("it is small") * 100;
    for _ in PORTS {
        let next = begin.wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + next % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return port;
        }
    }
    panic!("every port of {PORTS:?} is taken");
}
