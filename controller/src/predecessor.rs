//! What a controller that was killed may hold a moment longer.
//!
//! A process that starts another is two of one kind for a moment, until the child becomes the other program. One that is
//! killed just then leaves its sockets and locks to that child. Whoever comes next waits for it, instead of saying that
//! another controller is running.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Many times what a child takes to become another program.
const PATIENCE: Duration = Duration::from_secs(2);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Takes something as soon as nobody else holds it; fails as `take` does if somebody goes on holding it.
pub(crate) async fn inherit<T, E>(
    mut take: impl AsyncFnMut() -> Result<T, E>,
    is_held: impl Fn(&E) -> bool,
) -> Result<T, E> {
    let begin = Instant::now();
    loop {
        match take().await {
            Err(error) if is_held(&error) && begin.elapsed() < PATIENCE => sleep(LOOK_EVERY).await,
            taken => return taken,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_is_still_held_is_waited_for() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = held.local_addr().expect("it is bound");
        let take = async || TcpListener::bind(address).await;
        let is_held = |error: &std::io::Error| error.kind() == ErrorKind::AddrInUse;
        // the first look finds it taken, and only then is it given back
        let (taken, ()) = tokio::join!(inherit(take, is_held), async { drop(held) });
        assert_eq!(taken.expect("it is free by now").local_addr().expect("it is bound"), address);
    }
}
