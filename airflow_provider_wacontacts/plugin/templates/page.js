(() => {
  const root = document.documentElement;
  let host = null;
  try { if (window.parent !== window) { host = window.parent.document; } } catch { host = null; }
  if (host) {
    root.dataset.framed = "";
    const names = { page: "bg", panel: "bg-panel", line: "border", text: "fg", quiet: "fg-muted", link: "fg-info" };
    const follow = () => {
      root.dataset.theme = host.documentElement.classList.contains("dark") ? "dark" : "light";
      const colors = window.parent.getComputedStyle(host.documentElement);
      for (const [name, theirs] of Object.entries(names)) {
        const color = colors.getPropertyValue(`--chakra-colors-${theirs}`).trim();
        if (color) { root.style.setProperty(`--${name}`, color); }
      }
    };
    follow();
    new MutationObserver(follow).observe(host.documentElement, { attributeFilter: ["class"] });
  } else {
    let theme = null;
    try { theme = localStorage.getItem("theme"); } catch { theme = null; }
    if (theme === "dark" || theme === "light") { root.dataset.theme = theme; }
  }
  document.addEventListener("click", (event) => {
    const anchor = event.target.closest("a[data-airflow]");
    if (anchor && host) {
      event.preventDefault();
      const outer = host.createElement("a");
      outer.href = anchor.href;
      if (anchor.target === "_blank") { outer.target = "_blank"; outer.rel = "noopener"; }
      host.body.append(outer);
      outer.click();
      outer.remove();
    }
    const button = event.target.closest("button[data-copy]");
    if (button) {
      navigator.clipboard?.writeText(button.dataset.copy).then(() => { button.textContent = "Copied"; }, () => {});
    }
  });
  for (const button of document.querySelectorAll("button[data-copy]")) { button.hidden = !navigator.clipboard; }
  for (const chart of document.querySelectorAll(".chart")) {
    chart.scrollLeft = chart.scrollWidth;
    const said = chart.parentElement.querySelector(".said");
    const cells = [...chart.querySelectorAll("a")];
    const say = (event) => {
      const shape = event.target.closest("a, g, rect");
      const text = shape?.querySelector("title")?.textContent;
      if (said && text) { said.textContent = text; }
    };
    chart.addEventListener("mouseover", say);
    chart.addEventListener("focusin", say);
    chart.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -chart.dataset.left, ArrowRight: +chart.dataset.left, ArrowUp: -chart.dataset.up, ArrowDown: +chart.dataset.up }[event.key];
      const next = cells[cells.indexOf(event.target.closest("a")) + step];
      if (step && next) { event.preventDefault(); next.focus(); }
    });
  }
})();
