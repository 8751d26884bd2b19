// The page of an open message: prints, and leaves nothing behind after 20 idle minutes or in the back button (S33).
// The server ends the session by its own clock; this only empties the screen.
const page = document.querySelector('[data-idle]');
const away = page.dataset.closed;
const leave = () => {
  document.body.replaceChildren();
  location.replace(away);
};

let timer;
const busy = () => {
  clearTimeout(timer);
  timer = setTimeout(leave, Number(page.dataset.idle) * 1000);
};
busy();

addEventListener('pageshow', (event) => {
  if (event.persisted) leave();
});

for (const button of document.querySelectorAll('[data-print]')) {
  button.hidden = false;
  button.addEventListener('click', () => window.print());
}
