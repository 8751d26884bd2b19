// A page with something of a message on it: leaves nothing on the screen or behind the back button once it was idle for
// as long as the server lets a session live (S33, S45). The server ends the session by its own clock; this only empties
// the screen. Without scripts the page leaves by a refresh.
const { idle, away } = document.body.dataset;
const leave = () => {
  document.body.replaceChildren();
  location.replace(away);
};
setTimeout(leave, Number(idle) * 1000);
addEventListener('pageshow', (event) => {
  if (event.persisted) leave();
});
