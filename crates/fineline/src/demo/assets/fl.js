// A tracker on one page: Segment-shaped events to the host it came from. Before a yes it keeps nothing, sets nothing, sends
// nothing. Global Privacy Control counts as a no. Read it; it is not minified on purpose.
(() => {
  const script = document.currentScript;
  const host = new URL(script.src).origin;
  const headers = { 'content-type': 'text/plain', authorization: `Basic ${btoa(`${script.dataset.key}:`)}` };
  const kept = 'fl';
  const read = () => JSON.parse(localStorage.getItem(kept) || 'null');
  const id = () => crypto.randomUUID();
  const post = (path, body) =>
    fetch(host + path, { method: 'POST', headers, body: JSON.stringify(body), keepalive: true, credentials: 'omit' });

  function send(type, body) {
    const mine = read();
    if (!mine || !Object.values(mine.yes).some(Boolean)) return Promise.resolve(false);
    const sentAt = new Date().toISOString();
    const event = { type, messageId: id(), anonymousId: mine.anonymousId, timestamp: sentAt, sentAt, ...body };
    event.context = { page: { path: location.pathname }, consent: { categoryPreferences: mine.yes } };
    return post(`/v1/${type}`, event).then((answer) => answer.ok);
  }

  window.fineline = {
    answers: () => (read() || { yes: {} }).yes,
    refusesAll: () => navigator.globalPrivacyControl === true,
    track: (event, properties = {}) => send('track', { event, properties }),
    page: (properties = {}) => send('page', { properties: { path: location.pathname, ...properties } }),
    // One answer to one purpose, with the very words that were shown. A no before any yes is kept in this page only.
    async consent(purpose, status, words, noticeVersion) {
      const mine = read() || { anonymousId: id(), yes: {} };
      mine.yes[purpose] = status === 'given';
      const known = localStorage.getItem(kept) !== null;
      if (status !== 'given' && !known) return true;
      localStorage.setItem(kept, JSON.stringify(mine));
      const answer = await post('/v1/consent', {
        anonymousId: mine.anonymousId, purpose, status, words, language: 'en', noticeVersion,
      });
      if (!Object.values(mine.yes).some(Boolean)) localStorage.removeItem(kept);
      return answer.ok;
    },
  };
})();
