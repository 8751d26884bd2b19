// The reply form: lists the chosen files with the sum of their sizes, and says so before a too large upload begins.
const files = document.querySelector('input[type=file][data-limit]');
const hint = document.getElementById('files-hint');
if (files && hint) {
  const plain = hint.textContent;
  const limit = Number(files.dataset.limit);
  const size = (bytes) => new Intl.NumberFormat(document.documentElement.lang, {
    style: 'unit', unit: bytes < 1e6 ? 'kilobyte' : 'megabyte', maximumFractionDigits: bytes < 1e6 ? 0 : 1,
  }).format(bytes < 1e6 ? Math.ceil(bytes / 1e3) : bytes / 1e6);
  files.addEventListener('change', () => {
    const all = [...files.files];
    const sum = all.reduce((n, file) => n + file.size, 0);
    const over = sum > limit;
    files.setCustomValidity(over ? plain : '');
    files.setAttribute('aria-invalid', String(over));
    hint.textContent = all.length ? `${all.map((f) => f.name).join(', ')} · ${size(sum)}. ${plain}` : plain;
    if (over) files.reportValidity();
  });
}

// What the page shows of the message goes after 20 idle minutes (S33); the reader's own words stay.
const page = document.querySelector('[data-idle]');
if (page) {
  setTimeout(() => {
    for (const part of page.querySelectorAll('[data-content]')) part.remove();
  }, Number(page.dataset.idle) * 1000);
}

// One press sends once.
for (const form of document.querySelectorAll('form[data-once]')) {
  form.addEventListener('submit', () => {
    setTimeout(() => form.querySelectorAll('button').forEach((b) => { b.disabled = true; }), 0);
  });
}
addEventListener('pageshow', (event) => {
  if (event.persisted) location.reload();
});
