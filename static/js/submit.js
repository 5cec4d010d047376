// The submit form: the chosen archive's size, and one press sends once.
const form = document.getElementById("submit-form");
const file = document.getElementById("id_code_file");

file.addEventListener("change", () => {
  const kept = document.getElementById("kept-code");
  if (kept) kept.hidden = file.files.length > 0;
});

form.addEventListener("submit", () => {
  const button = form.querySelector("button.primary");
  button.disabled = true;
  button.textContent = file.files.length ? "Sending the code" : "Submitting";
});
window.addEventListener("pageshow", (event) => event.persisted && location.reload());
