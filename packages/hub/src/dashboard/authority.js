/* global elements */
'use strict';
/* What needs a signature, who may sign, and what was done: words for people. Nothing here verifies anything. */
// oxlint-disable-next-line no-unused-vars -- page.js uses it
const authority = (() => {
  const { make, since, badge, plural, command, list, inTime, clock } = elements;

  const blockedCard = (blocked, hostId) =>
    make(
      'article',
      { class: 'warn' },
      make(
        'div',
        { class: 'row' },
        make('span', { class: 'name' }, `${blocked.document.verb} (${blocked.document.effectClass})`),
        since(blocked.since),
      ),
      make('p', {}, blocked.text),
      blocked.document.lossSet.length > 0
        ? make(
            'details',
            {},
            make('summary', {}, `What is lost: ${plural(blocked.document.lossSet.length, 'item')}`),
            list(blocked.document.lossSet),
          )
        : undefined,
      make(
        'p',
        { class: 'quiet' },
        'Nothing happens without signatures. To sign, after your own machine has checked it:',
      ),
      command(`felhom approve ${hostId} ${blocked.digest.slice(0, 16)}`),
      make(
        'p',
        { class: 'quiet' },
        'To take the change back, mend the file and: ',
        make('code', {}, `felhom desired apply ${hostId} FILE`),
      ),
    );

  function breakGlassBanner(state) {
    if (state.is === 'open')
      return make(
        'div',
        { class: 'say bad' },
        `Break-glass is open: somebody may log in to this host until ${inTime(state.until)}.`,
      );
    return make('div', { class: 'say warn' }, `Whether break-glass is open is not known: ${state.text}`);
  }

  const jobTones = { waiting: 'warn', failed: 'bad', refused: 'bad', done: 'good', cancelled: '' };
  const ended = new Set(['done', 'refused', 'cancelled']);
  const shownEnded = 10;

  function jobCards(jobs, hostId) {
    const newestFirst = [...jobs].sort((a, b) => b.at - a.at);
    const open = newestFirst.filter((job) => !ended.has(job.state));
    return [...open, ...newestFirst.filter((job) => ended.has(job.state)).slice(0, shownEnded)].map((job) =>
      jobCard(job, hostId),
    );
  }

  function jobCard(job, hostId) {
    const tone = jobTones[job.state] ?? 'work';
    const signed = job.by.length === 0 ? 'Signed by nobody whose signature counts.' : `Signed by ${job.by.join(', ')}.`;
    return make(
      'article',
      { class: ended.has(job.state) ? 'info' : tone },
      make(
        'div',
        { class: 'row' },
        make('span', { class: 'name' }, `${job.kind}${job.guest ? ` ${job.guest}` : ''}`),
        make('span', {}, badge(tone, job.state), ' ', since(job.at)),
      ),
      job.text ? make('p', {}, job.text) : undefined,
      make(
        'p',
        { class: job.missing > 0 && !ended.has(job.state) ? 'missing' : 'quiet' },
        signed + (job.missing > 0 ? ` ${job.missing} more must sign.` : ''),
      ),
      job.missing > 0 && job.state === 'waiting' ? command(`felhom job cosign ${hostId} ${job.jobId}`) : undefined,
      job.nextAt === undefined
        ? undefined
        : make('p', { class: 'quiet' }, `Goes on by itself at ${inTime(job.nextAt)}.`),
      make('p', { class: 'quiet' }, 'job ', make('code', {}, job.jobId), job.code ? ` · ${job.code}` : undefined),
    );
  }

  const effects = {
    destroy: 'destroying data',
    removal: 'removing a guest that served',
    disclose: 'letting data or access out',
    deploy: 'running other code',
    divert: 'changing what runs or where it leads',
    trust: 'changing who may sign',
  };
  const dayMs = 86400000;

  function keysOf(keys) {
    const touched = keys.filter(({ touch }) => touch).length;
    return plural(keys.length, 'key') + (touched > 0 ? `, ${touched} to be touched` : '');
  }

  function trustParts(trust) {
    if (trust.is === 'none')
      return [
        make('div', { class: 'say warn' }, 'Nobody’s yet: nothing that needs a signature can be allowed on this host.'),
      ];
    if (trust.is === 'unreadable') return [make('div', { class: 'say bad' }, `Nobody’s: ${trust.text}`)];
    const { version, expiresAt, signers, thresholds, loneOperator, revoked } = trust.document;
    const days = Math.floor((expiresAt - Date.now() - clock.skewMs) / dayMs);
    const left = days < 0 ? badge('bad', 'expired') : badge(days < 30 ? 'warn' : 'good', `${plural(days, 'day')} left`);
    const people = new Map();
    for (const signer of signers) people.set(signer.principal, [...(people.get(signer.principal) ?? []), signer]);
    const byCount = new Map();
    for (const [effect, words] of Object.entries(effects))
      byCount.set(thresholds[effect], [...(byCount.get(thresholds[effect]) ?? []), words]);
    const rows = [
      ['Document', make('span', {}, `version ${version}, until ${inTime(expiresAt)} `, left)],
      ['People', [...people].map(([name, keys]) => `${name} (${keysOf(keys)})`).join(', ')],
      ...[...byCount]
        .sort(([a], [b]) => b - a)
        .map(([count, words]) => [count === 1 ? 'One of them for' : `${count} of them for`, words.join(', ')]),
    ];
    if (revoked.length > 0) rows.push(['Revoked', plural(revoked.length, 'key')]);
    if (loneOperator) rows.push(['Alone', 'One person runs this host, so nothing asks for two by itself.']);
    return [make('dl', {}, ...rows.flatMap(([name, value]) => [make('dt', {}, name), make('dd', {}, value)]))];
  }

  function auditTimeline(entries) {
    if (entries.length === 0) return [];
    const items = [...entries]
      .sort((a, b) => b.seq - a.seq)
      .map((entry) =>
        make(
          'li',
          {},
          make('div', { class: 'row' }, make('span', {}, badge('', entry.kind), ` #${entry.seq}`), since(entry.at)),
          make('p', {}, entry.text),
        ),
      );
    return [make('ol', { class: 'timeline' }, ...items)];
  }

  const wordOfTheHub = (host) =>
    make(
      'div',
      { class: 'word' },
      make(
        'p',
        {},
        'All of this is the hub’s word: a hub that lies can show anything here. ' +
          (host.statement ? 'The host signs its reports, ' : 'This host has sent no signed statement yet, ') +
          (host.statement
            ? 'and felhom on your own machine checks them with the key you pinned before it shows or signs anything:'
            : 'so nothing of it can be checked.'),
      ),
      host.statement ? command(`felhom status ${host.hostId}`) : undefined,
    );

  return { blockedCard, breakGlassBanner, jobCards, trustParts, auditTimeline, wordOfTheHub };
})();
