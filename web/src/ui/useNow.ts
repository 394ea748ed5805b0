import { useEffect, useState } from 'react';

/** The time, told anew every ten seconds: for `3 min ago`. It asks nobody. */
export function useNow(): number {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const timer = window.setInterval(() => setNow(Date.now()), 10_000);
    return () => window.clearInterval(timer);
  }, []);
  return now;
}
