'use strict';
/* Pieces that the page is made of. Whatever comes from a host is put there as text, never as markup. */
// oxlint-disable-next-line no-unused-vars -- the scripts that follow use it
const elements = (() => {
  /** How far the hub's clock is ahead of this browser's, in milliseconds. */
  const clock = { skewMs: 0 };

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    const { on, ...rest } = options;
    for (const [key, value] of Object.entries(rest))
      if (key === 'class') element.className = value;
      else if (value !== undefined) element.setAttribute(key, value);
    if (on) element.addEventListener('click', on);
    for (const child of children) if (child !== undefined && child !== null) element.append(child);
    return element;
  }

  function since(at) {
    if (at === undefined) return make('span', {}, 'never');
    const span = make('time', { 'data-at': String(at), title: new Date(at).toLocaleString() });
    span.textContent = age(at);
    return span;
  }
  function age(at) {
    const seconds = Math.max(0, Math.round((Date.now() + clock.skewMs - at) / 1000));
    if (seconds < 1) return 'now';
    if (seconds < 60) return `${seconds} s ago`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s ago`;
    if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min ago`;
    return `${Math.floor(seconds / 86400)} d ${Math.floor((seconds % 86400) / 3600)} h ago`;
  }
  const badge = (tone, text) => make('span', { class: `badge ${tone}` }, text);
  const plural = (count, one) => `${count} ${one}${count === 1 ? '' : 's'}`;

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = 'Copied';
    } catch {
      button.textContent = 'Select it by hand';
    }
  }

  function command(text) {
    const button = make('button', { type: 'button' }, 'Copy');
    button.addEventListener('click', () => {
      void copy(text, button);
    });
    return make('div', { class: 'command' }, make('code', {}, text), button);
  }
  const list = (items) => make('ul', {}, ...items.map((item) => make('li', {}, item)));
  const inTime = (at) => new Date(at).toLocaleString();

  return { make, since, age, badge, plural, command, list, inTime, clock };
})();
