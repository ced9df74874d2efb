// The address of the page, and of the paths beside it.

/**
 * Return the URL of a path of the server. It is relative to the page, so that a proxy may serve the page below a prefix.
 * A user name and a password in the address bar are left out: browsers refuse to fetch such URLs, and copied texts must
 * not have them.
 * @param {string} path
 * @returns {string}
 */
export function serverUrl(path) {
  return new URL(path, location.origin + location.pathname).href;
}
