// The code field: takes a pasted "204 518" or "204-518", and keeps digits only.
const field = document.querySelector('input.digits');
if (field) {
  field.addEventListener('input', () => {
    const digits = field.value.replace(/\D/g, '').slice(0, 6);
    if (digits !== field.value) field.value = digits;
  });
}
