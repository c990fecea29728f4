// On narrow screens pictures scroll: let the keyboard reach them.
document.addEventListener("DOMContentLoaded", () => {
  for (const picture of document.querySelectorAll("p > img[src$='.svg']")) {
    picture.parentElement.tabIndex = 0;
  }
});
