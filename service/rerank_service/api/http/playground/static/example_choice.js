// The choice of an example.

import { byId, el } from "./dom.js";
import { EXAMPLES } from "./examples.js";

export class ExampleChoice {
  /** @param {(state: import("./state.js").State) => void} load called with the state of the example that is chosen */
  constructor(load) {
    this.select = /** @type {HTMLSelectElement} */ (byId("example"));
    this.select.append(el("option", { value: "", hidden: true }, "Choose…"), ...EXAMPLES.map(({ name }, at) => el("option", { value: at }, name)));
    this.select.addEventListener("change", () => load(EXAMPLES[Number(this.select.value)].state()));
  }

  /** Return the state of the first example, and show it as chosen. */
  first() {
    this.select.value = "0";
    return EXAMPLES[0].state();
  }

  /** Show that the input is that of no example any more: each of them can be chosen. */
  forget() {
    this.select.value = "";
  }
}
