// Before the first paint, so that a dark page never flashes white. A file of its own, as the page runs
// no script that stands in it (content security policy).
const chosen = localStorage.getItem('assay.theme');
const dark = matchMedia('(prefers-color-scheme: dark)').matches;
document.documentElement.dataset.theme = chosen ?? (dark ? 'dark' : 'light');
