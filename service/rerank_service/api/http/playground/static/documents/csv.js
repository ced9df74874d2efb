// CSV as RFC 4180 defines it: quoted fields may have separators, quotes (doubled) and line ends.

/** CSV that cannot be read. */
export class CsvInvalid extends Error {
  /**
   * @param {string} message
   * @param {number} line from 1
   */
  constructor(message, line) {
    super(`Line ${line}: ${message}`);
  }
}

/**
 * Return the rows of a CSV text. Blank lines are left out.
 * @param {string} text
 * @param {string} [separator] default: the most frequent of comma, semicolon and tab in the first line
 * @returns {string[][]}
 * @throws {CsvInvalid} a quote is open at the end, text follows a closing quote, or rows have different lengths
 */
export function parseCsv(text, separator = separatorOf(text)) {
  const reader = new Reader(text.replace(/^\uFEFF/, ""), separator);
  const rows = [];
  while (!reader.atEnd) {
    const line = reader.line;
    const row = reader.row();
    if (row.length === 1 && row[0] === "") continue;
    rows.push(row);
    if (row.length !== rows[0].length) {
      throw new CsvInvalid(`${counted(row.length)}, but the first line has ${rows[0].length}. Put a text with a separator between double quotes.`, line);
    }
  }
  return rows;
}

/** @param {number} fields */
function counted(fields) {
  return fields === 1 ? "there is 1 field" : `there are ${fields} fields`;
}

/** @param {string} text */
function separatorOf(text) {
  const first = text.replace(/^\uFEFF?[\r\n]*/, "").split(/\r?\n/, 1)[0].replace(/"[^"]*"/g, "");
  const count = (/** @type {string} */ mark) => first.split(mark).length - 1;
  return [",", ";", "\t"].reduce((best, mark) => (count(mark) > count(best) ? mark : best), ",");
}

class Reader {
  /**
   * @param {string} text
   * @param {string} separator
   */
  constructor(text, separator) {
    this.text = text;
    this.separator = separator;
    this.at = 0;
    this.line = 1;
    this.plain = new RegExp(`[${separator}\\r\\n]`, "g");
  }

  get atEnd() {
    return this.at >= this.text.length;
  }

  /** Read one row with its line end. */
  row() {
    const row = [this.field()];
    while (this.text[this.at] === this.separator) {
      this.at += 1;
      row.push(this.field());
    }
    if (this.text[this.at] === "\r") this.at += 1;
    if (this.text[this.at] === "\n") this.at += 1;
    this.line += 1;
    return row;
  }

  field() {
    return this.text[this.at] === '"' ? this.quoted() : this.unquoted();
  }

  unquoted() {
    this.plain.lastIndex = this.at;
    const end = this.plain.exec(this.text)?.index ?? this.text.length;
    const value = this.text.slice(this.at, end);
    this.at = end;
    return value;
  }

  quoted() {
    const began = this.line;
    let value = "";
    for (;;) {
      const end = this.text.indexOf('"', this.at + 1);
      if (end < 0) throw new CsvInvalid("the quote that opens here is never closed. Double a quote inside a field.", began);
      value += this.text.slice(this.at + 1, end);
      this.at = end + 1;
      if (this.text[this.at] !== '"') break;
      value += '"';
    }
    this.line += value.split("\n").length - 1;
    const next = this.text[this.at];
    if (next !== undefined && next !== this.separator && next !== "\n" && next !== "\r") {
      throw new CsvInvalid("text follows a closing quote. Double a quote inside a field.", this.line);
    }
    return value;
  }
}
