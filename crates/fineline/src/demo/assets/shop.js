// The shop's own page: answers to the two questions, page and product views, the live panel.
(() => {
  const fl = window.fineline;
  for (const asking of document.querySelectorAll('.asking')) {
    const { purpose, words, notice } = asking.dataset;
    const status = asking.querySelector('[role=status]');
    const show = (yes) => {
      for (const button of asking.querySelectorAll('button'))
        button.setAttribute('aria-pressed', String((button.dataset.answer === 'given') === yes));
    };
    if (purpose in fl.answers()) show(fl.answers()[purpose]);
    if (fl.refusesAll()) status.textContent = 'Your browser says no to all of this (Global Privacy Control), and that is kept.';
    asking.addEventListener('click', async ({ target }) => {
      const answer = target.closest('button')?.dataset.answer;
      if (!answer) return;
      const ok = await fl.consent(purpose, answer, words, Number(notice));
      show(answer === 'given');
      status.textContent = ok ? 'Kept. You can change it at any time.' : 'That did not reach us. Please try again.';
      refresh();
    });
  }

  const item = document.querySelector('[data-item]')?.dataset.item;
  if (!fl.refusesAll()) Promise.all([fl.page(), item && fl.track('Product Viewed', { item })]).then(refresh);

  const rows = document.getElementById('live-rows');
  async function refresh() {
    if (!rows || document.hidden) return;
    const answer = await fetch('/shop/live').catch(() => null);
    if (answer?.ok) rows.innerHTML = await answer.text();
  }
  if (rows) setInterval(refresh, 3000);
})();
