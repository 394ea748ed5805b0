// Which project a page is of: it stands at the beginning of its path, unless it is the one that the
// controller means where none is named.

const BASE = /^\/projects\/([\w-]+)(?=\/|$)/;

/** None: the one that the controller means. */
export function projectIn(path: string): string | undefined {
  return BASE.exec(path)?.[1];
}

/** What the paths of a project's pages begin with. */
export function baseOf(project: string | undefined): string {
  return project === undefined ? '' : `/projects/${project}`;
}

/** A path of the API, about a project. */
export function about(project: string | undefined, path: string): string {
  if (project === undefined) return path;
  return `${path}${path.includes('?') ? '&' : '?'}project=${project}`;
}
