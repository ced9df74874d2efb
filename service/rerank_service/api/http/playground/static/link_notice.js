// A notice about a link that cannot be shown.

import { byId } from "./dom.js";

const DAMAGED = "This link is cut, damaged or of another version, so it cannot be shown. Ask for it again.";

/**
 * Show the notice, or hide it.
 * @param {boolean} damaged true if the page has a link that cannot be read
 */
export function noticeLink(damaged) {
  const notice = byId("notice");
  notice.hidden = !damaged;
  notice.textContent = damaged ? DAMAGED : "";
}
