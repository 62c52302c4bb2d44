// Shows one case at a time, measures how long it is looked at, and sends the answer before it asks for the next.
'use strict';

const at = (id) => document.getElementById(id);
const own = location.pathname.replace(/\/$/, '');
const canvas = at('image');
const frame = at('frame');
const sliders = { level: 50, width: 100, zoom: 0 };
let state = null; // as the server tells it
let pixels = null; // of the case that is shown
let looked = 0; // milliseconds before the last pause
let since = null; // when looking went on; null while nothing is looked at
let paused = false;
let sending = false;

async function ask(path, options) {
  const response = await fetch(own + path, options);
  if (!response.ok && response.status !== 409) throw new Error(await response.text());
  return response;
}

function say(text) { at('status').textContent = text; }

function showProgress() {
  at('bar').max = state.total;
  at('bar').value = state.position;
  at('count').textContent = `${state.position} of ${state.total} answered`;
}

function finish() {
  pixels = null;
  at('intro').hidden = at('reading').hidden = true;
  say('That was the last one. Thank you; you can close this page.');
}

// Grey levels go through the window: level and width in hundredths of the whole range.
function draw() {
  if (!pixels) return;
  const largest = 2 ** state.bits - 1;
  const width = Number(at('width').value) / 100;
  const low = Number(at('level').value) / 100 - width / 2;
  const table = Uint8ClampedArray.from({ length: largest + 1 }, (_, value) => 255 * (value / largest - low) / width);
  const picture = new ImageData(state.width, state.height);
  const { channels } = state;
  for (let place = 0; place < state.width * state.height; place += 1) {
    for (let colour = 0; colour < 3; colour += 1) {
      picture.data[4 * place + colour] = table[pixels[channels * place + (channels === 3 ? colour : 0)]];
    }
    picture.data[4 * place + 3] = 255;
  }
  canvas.width = state.width;
  canvas.height = state.height;
  canvas.getContext('2d').putImageData(picture, 0, 0);
  const fitting = Math.min(frame.clientWidth / state.width, frame.clientHeight / state.height);
  const scale = fitting * 1.25 ** Number(at('zoom').value);
  canvas.style.width = `${Math.floor(state.width * scale)}px`;
  canvas.style.height = `${Math.floor(state.height * scale)}px`;
}

function reset() {
  Object.entries(sliders).forEach(([name, value]) => { at(name).value = value; });
  draw();
}

function stopClock() {
  if (since !== null) looked += performance.now() - since;
  since = null;
}

function startClock() {
  if (pixels && !paused && !document.hidden && since === null) since = performance.now();
}

function pause(wanted) {
  if (!pixels) return;
  paused = wanted;
  if (paused) stopClock(); else startClock();
  frame.classList.toggle('paused', paused);
  at('pause').textContent = paused ? 'Go on (P)' : 'Pause (P)';
  update();
  say(paused ? 'Paused: the image is hidden, and the time stands still.' : '');
}

function chosen() { return at('answer').querySelector('input:checked'); }

function update() { at('next').disabled = !chosen() || paused || sending || !pixels; }

// Image and progress change together, and nothing can be chosen before: who is quick must not answer the last case.
async function showCase() {
  if (state.position >= state.total) {
    showProgress();
    finish();
    return;
  }
  const content = await (await ask(`/case/${state.position}`)).arrayBuffer();
  const view = new DataView(content);
  pixels = Uint16Array.from({ length: content.byteLength / 2 }, (_, place) => view.getUint16(2 * place, true));
  if (chosen()) chosen().checked = false;
  draw();
  showProgress();
  frame.setAttribute('aria-busy', 'false');
  looked = 0;
  since = null;
  startClock();
  update();
}

async function answer() {
  if (at('next').disabled) return;
  stopClock();
  sending = true;
  update();
  const body = { position: state.position, confidence: Number(chosen().value), seconds: Math.min(looked / 1000, 86400) };
  try {
    state = await (await ask('/answer', { method: 'POST', body: JSON.stringify(body) })).json();
    say('');
    await showCase();
  } catch (error) {
    startClock();
    say(`Not kept, answer once more: ${error.message}`);
  } finally {
    sending = false;
    update();
  }
}

function createScale() {
  state.scale.forEach((name, place) => {
    const label = document.createElement('label');
    const input = document.createElement('input');
    Object.assign(input, { type: 'radio', name: 'confidence', value: place + 1 });
    label.append(input, `${place + 1}  ${name}`);
    at('scale').append(label);
  });
}

function choose(number) {
  const input = at('answer').querySelector(`input[value="${number}"]`);
  if (input && !paused && !sending) {
    input.checked = true;
    input.focus();
    update();
  }
}

function step(name, by) {
  at(name).value = Number(at(name).value) + by;
  draw();
}

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || !pixels) return;
  const { key } = event;
  if (/^[1-6]$/.test(key)) choose(Number(key));
  else if (key === '+' || key === '=') step('zoom', 1);
  else if (key === '-') step('zoom', -1);
  else if (key === 'r' || key === 'R') reset();
  else if (key === 'p' || key === 'P') pause(!paused);
  else if ((key === 'Enter' || key === ' ') && event.target.tagName !== 'BUTTON') answer();
  else return;
  event.preventDefault();
});

canvas.addEventListener('pointerdown', (event) => canvas.setPointerCapture(event.pointerId));
canvas.addEventListener('pointermove', (event) => {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  at('width').value = Number(at('width').value) + event.movementX / 4;
  at('level').value = Number(at('level').value) - event.movementY / 4;
  draw();
});

at('answer').addEventListener('submit', (event) => { event.preventDefault(); answer(); });
at('scale').addEventListener('change', update);
at('display').addEventListener('input', draw);
at('reset').addEventListener('click', reset);
at('pause').addEventListener('click', () => pause(!paused));
window.addEventListener('resize', draw);
document.addEventListener('visibilitychange', () => { if (document.hidden) stopClock(); else startClock(); });

at('begin').addEventListener('click', async () => {
  at('intro').hidden = true;
  at('reading').hidden = false;
  try {
    await showCase();
    frame.focus();
  } catch (error) {
    say(`No image came: ${error.message}. Load the page again.`);
  }
});

ask('/state').then((response) => response.json()).then((told) => {
  state = told;
  createScale();
  reset();
  showProgress();
  if (state.position) at('begin').textContent = 'Go on';
  if (state.position >= state.total) finish();
}).catch((error) => say(`The study does not answer: ${error.message}`));
