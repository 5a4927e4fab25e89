// Keeps the list of live events fresh, and lets the reader stop it. The page works without this script.
const rows = document.querySelector('[data-live]');
const button = document.querySelector('[data-live-pause]');
let paused = false;

button.hidden = false;
button.addEventListener('click', () => {
  paused = !paused;
  button.textContent = paused ? 'Go on' : 'Pause';
});

setInterval(async () => {
  // Somebody who has opened a row's details is reading: leave it alone.
  if (paused || document.hidden || rows.querySelector('details[open]')) return;
  const answer = await fetch(rows.dataset.live, { headers: { accept: 'text/html' } }).catch(() => null);
  if (answer?.ok && !answer.redirected) rows.innerHTML = await answer.text();
}, 2000);
