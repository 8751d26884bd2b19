// Shows moments in the reader's own time zone. Without it they stand in UTC, and say so.
const lang = document.documentElement.lang;
for (const time of document.querySelectorAll('time[data-moment]')) {
  const moment = new Date(time.dateTime);
  if (Number.isNaN(moment.valueOf())) continue;
  time.title = time.textContent;
  time.textContent = new Intl.DateTimeFormat(lang, { dateStyle: 'long', timeStyle: 'short' }).format(moment);
}
