// Search over `sections`, rows of page, anchor, title, heading and text. A section is found if it
// has a word that begins with each word of the query, in any case and without accents. Everything
// is shown as text, never as markup.
(function () {
  const MOST = 40, AROUND = 12;  // results; words of an excerpt before and after the first hit
  const SPELLED = { "ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d" };

  const folded = (text) => text.toLowerCase().normalize("NFKD").replace(/\p{M}/gu, "")
    .replace(/[ßæœøłđ]/g, (letter) => SPELLED[letter]);
  const wordsOf = (text) => folded(text).split(/[^\p{L}\p{N}]+/u).filter(Boolean);
  const begins = (words, start) => words.some((word) => word.startsWith(start));

  let known = null;  // the words of each section, on the first search
  function found(asked) {
    known ??= sections.map((row) => row.slice(2).map(wordsOf));
    const scored = [];
    for (const [at, [title, heading, text]] of known.entries()) {
      let score = 0;
      const has = asked.every((word) => {
        const here = 8 * begins(title, word) + 4 * begins(heading, word) + begins(text, word);
        score += here;
        return here;
      });
      if (has) scored.push([score, at]);
    }
    return scored.sort((a, b) => b[0] - a[0] || a[1] - b[1]).map(([, at]) => sections[at]);
  }

  function made(kind, ...inside) {
    const element = document.createElement(kind);
    element.append(...inside);
    return element;
  }

  function excerpt(text, asked) {
    const parts = text.split(/\s+/);
    const hit = (part) => asked.some((word) => begins(wordsOf(part), word));
    const first = Math.max(0, parts.findIndex(hit) - AROUND);
    const shown = parts.slice(first, first + 2 * AROUND + 1);
    const line = made("p", first ? "… " : "");
    for (const part of shown) line.append(hit(part) ? made("mark", part) : part, " ");
    return line;
  }

  function result([page, anchor, title, heading, text], asked) {
    const link = made("a", heading === title ? title : `${title} › ${heading}`);
    link.href = anchor ? `${page}#${anchor}` : page;
    return made("li", link, excerpt(text, asked));
  }

  function said(asked, rows) {
    if (!asked.length) return "";
    if (rows.length > MOST) return `${rows.length} sections; the first ${MOST}:`;
    if (rows.length) return rows.length === 1 ? "1 section" : `${rows.length} sections`;
    const unknown = asked.filter((word) => !found([word]).length);
    if (unknown.length) return `Nothing begins with ${unknown.map((w) => `"${w}"`).join(", ")}.`;
    return "No section has all of these words. Leave one out.";
  }

  const field = made("input"), status = made("p"), list = made("ol");
  Object.assign(field, { type: "search", placeholder: "Search all pages", autocomplete: "off" });
  field.setAttribute("aria-label", "Search all pages");
  status.setAttribute("role", "status");
  list.className = "results";
  document.getElementById("search").replaceChildren(field, status, list);

  function search() {
    const asked = wordsOf(field.value), rows = asked.length ? found(asked) : [];
    status.textContent = said(asked, rows);
    list.replaceChildren(...rows.slice(0, MOST).map((row) => result(row, asked)));
    const there = field.value ? `#search=${encodeURIComponent(field.value)}` : "#search";
    history.replaceState(null, "", there);
  }
  field.addEventListener("input", search);

  function follow() {  // index.html#search=two%20words
    const asked = location.hash.match(/^#search=?(.*)$/);
    if (!asked) return;
    try { field.value = decodeURIComponent(asked[1]); } catch { field.value = asked[1]; }
    field.focus();
    if (field.value) search();
  }
  addEventListener("hashchange", follow);
  addEventListener("load", follow);  // then the browser has gone to #search itself
  follow();
})();
