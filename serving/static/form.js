"use strict";

// The page works without this file. With it the answer comes without a reload, fields are checked
// when they are left, an answer says so when its findings are changed, and an example can be filled
// in.

const main = document.getElementById("main");

function check(input) {
  const { low, high } = input.dataset;
  const text = input.value.trim().replace(",", ".");
  const number = Number(text);
  const right = text === "" || low === undefined || (number >= Number(low) && number <= Number(high));
  const hint = document.getElementById(`${input.id}-hint`);
  hint.textContent = right ? hint.dataset.hint : `Must be a number, ${low} to ${high}`.replace("-", "−");
  input.closest(".field").classList.toggle("bad", !right);
  if (right) input.removeAttribute("aria-invalid");
  else input.setAttribute("aria-invalid", "true");
}

async function send(event) {
  const form = event.target;
  if (form.id !== "patient") return;
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  try {
    const body = new URLSearchParams(new FormData(form));
    const response = await fetch(form.action, { method: "POST", body });
    const text = await response.text();
    const page = new DOMParser().parseFromString(text, "text/html");
    const found = page.getElementById("main");
    if (found === null) throw new Error("no page");
    const key = document.getElementById("key")?.value;
    document.querySelector(".banner")?.remove();
    const banner = page.querySelector(".banner");
    if (banner !== null) main.before(banner);
    main.replaceChildren(...found.childNodes);
    document.title = page.title;
    if (key) document.getElementById("key").value = key;
    prepare();
    const answer = document.getElementById("answer") ?? main;
    answer.focus({ preventScroll: true });
    answer.scrollIntoView({ block: "start" });
  } catch {
    form.submit();
  } finally {
    button.disabled = false;
  }
}

function prepare() {
  const example = document.getElementById("example");
  example.hidden = false;
  example.addEventListener("click", () => {
    for (const input of document.querySelectorAll("[data-example]")) {
      input.value = input.dataset.example;
      check(input);
    }
    outdate();
  });
}

function outdate() {
  const note = document.getElementById("outdated");
  if (note !== null) note.hidden = false;
}

main.addEventListener("submit", send);
main.addEventListener("input", (event) => {
  if (event.target.matches("[data-example]")) outdate();
});
main.addEventListener("change", (event) => {
  if (event.target.matches("[data-example]")) check(event.target);
});
prepare();
