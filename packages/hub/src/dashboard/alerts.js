/* global elements */
'use strict';
/* What the watch of the hub found, above everything else. The page only reads: whoever takes an alert says so with felhom. */
// oxlint-disable-next-line no-unused-vars -- page.js uses it
const alerts = (() => {
  const { make, since, badge, plural, command, clock } = elements;
  const shown = 3;
  const stuckMs = 60000;

  const ranks = { critical: 0, warning: 1 };
  const byUrgency = (a, b) =>
    ranks[a.severity] - ranks[b.severity] ||
    Number(a.ack !== undefined) - Number(b.ack !== undefined) ||
    b.since - a.since;

  function card(alert, select) {
    const tone = alert.severity === 'critical' ? 'bad' : 'warn';
    return make(
      'article',
      { class: tone },
      make(
        'div',
        { class: 'row' },
        make(
          'span',
          {},
          badge(tone, alert.severity),
          ' ',
          make('span', { class: 'name' }, alert.title),
          alert.host === undefined ? undefined : ' ',
          alert.host === undefined
            ? undefined
            : make('button', { type: 'button', class: 'small', on: () => select(alert.host) }, `Show ${alert.host}`),
        ),
        make('span', { class: 'quiet' }, since(alert.since)),
      ),
      make(
        'div',
        { class: 'beside' },
        make('div', {}, make('p', {}, alert.text), make('p', { class: 'quiet' }, `Next: ${alert.next}`)),
        alert.ack === undefined
          ? command(`felhom alerts ack ${alert.id}`)
          : make('p', { class: 'quiet' }, `${alert.ack.by} looks after it, since `, since(alert.ack.at)),
      ),
    );
  }

  /** Whether the loop of the watch stands still: then that there is no alert says nothing. */
  const isStuck = ({ watchedAt }) => watchedAt === undefined || Date.now() + clock.skewMs - watchedAt > stuckMs;

  /** Nothing, or what is the matter; `select` shows a host. */
  function strip(list, stuck, select) {
    const cards = [...list.open].sort(byUrgency).map((alert) => card(alert, select));
    const untaken = list.open.filter(({ ack }) => ack === undefined).length;
    const parts = [];
    if (stuck)
      parts.push(
        make(
          'div',
          { class: 'say bad' },
          'The hub does not watch its hosts: its loop does not run. That nothing is the matter here says nothing. Look at the log of the hub.',
        ),
      );
    if (cards.length > 0)
      parts.push(
        make(
          'h2',
          {},
          plural(cards.length, 'open alert') +
            (untaken === 0
              ? ', all looked after'
              : untaken === cards.length
                ? ''
                : `, ${untaken} looked after by nobody`),
        ),
        ...cards.slice(0, shown),
      );
    if (cards.length > shown)
      parts.push(make('details', {}, make('summary', {}, `${cards.length - shown} more`), ...cards.slice(shown)));
    return parts;
  }

  return { strip, isStuck };
})();
