// Sends the form without leaving the page, so that chosen files stay chosen. Without scripts the form does the same.
'use strict';

const form = document.querySelector('form');
const button = form.querySelector('button');
const state = document.querySelector('#status');
const answers = document.querySelector('#answers');

async function ask() {
  const response = await fetch('/', { method: 'POST', body: new FormData(form) });
  const page = new DOMParser().parseFromString(await response.text(), 'text/html');
  answers.replaceChildren(...page.querySelector('#answers').children);
  answers.querySelector('[tabindex]').focus();
}

form.addEventListener('submit', async (event) => {
  event.preventDefault();
  const files = [...form.elements.files.files];
  if (files.reduce((sum, file) => sum + file.size, 0) > Number(form.dataset.bytes)) {
    state.textContent = 'These files are too large; send fewer at a time.';
    return;
  }
  button.disabled = true;
  answers.replaceChildren();
  state.textContent = `Looking at ${files.length} ${files.length === 1 ? 'file' : 'files'} …`;
  try {
    await ask();
    state.textContent = '';
  } catch {
    state.textContent = 'The detector does not answer; see whether detect.app still runs.';
  } finally {
    button.disabled = false;
  }
});

// The whole page takes files: beside the field, a browser would open them.
window.addEventListener('dragover', (event) => event.preventDefault());
window.addEventListener('drop', (event) => {
  event.preventDefault();
  if (event.dataTransfer.files.length) {
    form.elements.files.files = event.dataTransfer.files;
  }
});
