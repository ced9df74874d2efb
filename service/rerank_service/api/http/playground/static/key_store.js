// The API key. It stays in this tab: in the session storage, which ends with the tab and is sent nowhere.

const NAME = "rerank-key";

/** @returns {string} */
export function storedKey() {
  try {
    return sessionStorage.getItem(NAME) ?? "";
  } catch {
    return ""; // the browser allows no storage
  }
}

/** @param {string} key "" removes it */
export function storeKey(key) {
  try {
    if (key) sessionStorage.setItem(NAME, key);
    else sessionStorage.removeItem(NAME);
  } catch {
    // the key is in the field of the page, which is enough until a reload
  }
}
