// Code, outputs and tables that are wider than the page can be scrolled with the keyboard.
function markScrollable() {
  for (const block of document.querySelectorAll("article pre, article .table-wrapper")) {
    if (block.scrollWidth > block.clientWidth) {
      block.tabIndex = 0;
    }
  }
}
document.addEventListener("DOMContentLoaded", markScrollable);
document.addEventListener("toggle", markScrollable, true); // a solution that is opened
