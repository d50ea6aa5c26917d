// Code, outputs, figures, formulas and tables that are wider than the page can be scrolled with the keyboard.
const WIDE = "pre, .table-wrapper, .math-wrapper, .math, div.cell_output, .text_html, p:has(> img)";
function markScrollable() {
  for (const block of document.querySelectorAll("article :is(" + WIDE + ")")) {
    if (block.scrollWidth > block.clientWidth || block.scrollHeight > block.clientHeight) {
      block.tabIndex = 0;
    }
  }
}
window.addEventListener("load", markScrollable);
document.addEventListener("toggle", markScrollable, true); // a solution that is opened
