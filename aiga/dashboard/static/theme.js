// Light or dark: as the system is, unless the person chose.  Runs before the first paint.
const system = matchMedia("(prefers-color-scheme: dark)");

window.theme = {
  dark() {
    const chosen = localStorage.getItem("aiga-theme");
    return chosen ? chosen === "dark" : system.matches;
  },
  apply() {
    document.documentElement.dataset.theme = this.dark() ? "dark" : "light";
    document.dispatchEvent(new CustomEvent("theme"));
  },
  toggle() {
    const next = this.dark() ? "light" : "dark";
    if ((next === "dark") === system.matches) localStorage.removeItem("aiga-theme");
    else localStorage.setItem("aiga-theme", next);
    this.apply();
  },
};

system.addEventListener("change", () => window.theme.apply());
window.theme.apply();
