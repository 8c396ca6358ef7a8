/** The trust document as people read it: who may sign, and what one person alone can do. */
import { digestOfTrust, parsePublicKey, peopleNeeded } from '@felhom/protocol';
import type { Thresholds, TrustDocument } from '@felhom/protocol';
import { renderFacts, renderTable } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { trustStanding } from '../trust/index.ts';

/** In the order of how much harm they do. */
const deeds = {
  removal: 'destroy a guest that has served, for good',
  destroy: 'overwrite or roll back data, or thin out its backups',
  disclose: 'send data somewhere new, or open this host to a login',
  deploy: 'run new code next to data',
  divert: 'stop, shrink, move or rewire a guest',
  trust: 'change who may sign, and how many have to',
} as const satisfies Record<keyof Thresholds, string>;

const day = 24 * 60 * 60_000;

export function renderTrust(document: TrustDocument, now: number, style: Style): string {
  const { host, version, expiresAt, floors, revoked } = document;
  const until = `until ${new Date(expiresAt).toISOString().slice(0, 10)}`;
  const left = Math.max(0, Math.floor((expiresAt - now) / day));
  const standing = {
    'in-force': style.paint('good', `in force, ${until} (${left} days)`),
    'expires-soon': style.paint(
      'warn',
      `expires soon, ${until} (${left} days); renew it: felhom job trust-renew ${host}`,
    ),
    expired: style.paint('bad', `expired, ${until}; only a renewal counts, and root on this host`),
  }[trustStanding(document, now)];
  const facts = renderFacts(
    [
      ['host', host],
      ['version', String(version)],
      ['digest', digestOfTrust(document)],
      ['standing', standing],
      [
        'floors',
        `${floors.keepDays} days, ${floors.keepWeeks} weeks of backups; one every ${floors.backupEveryHours} h; ` +
          `a restore test every ${floors.restoreTestEveryDays} days; ${floors.tiers} tier(s)`,
      ],
      ['revoked keys', String(revoked.length)],
    ],
    style,
  );
  const signers = renderTable(
    [{ title: 'person' }, { title: 'signs' }, { title: 'key' }, { title: 'valid' }],
    document.signers.map(({ principal, key, signs, touch, validAfter, validBefore }) => {
      const parsed = parsePublicKey(key);
      const kind = parsed?.type === 'ssh-ed25519' ? 'file or agent' : touch ? 'FIDO2, with touch' : 'FIDO2';
      return [
        principal,
        signs.map((namespace) => namespace.replace(/^felhom-|@1$/g, '')).join(', '),
        `${parsed?.fingerprint ?? key} (${kind})`,
        validity(validAfter, validBefore),
      ];
    }),
    style,
  );
  return `${facts}\n${signers}\n${renderPeople(document, style)}`;
}

/** How many have to sign for what; where it is one, in words that cannot be misread [R14]. */
export function renderPeople(document: TrustDocument, style: Style): string {
  const rows = (Object.keys(deeds) as (keyof Thresholds)[]).map((name) => {
    const needed = peopleNeeded(document, [name], name === 'removal' || name === 'trust' ? 2 : 1);
    return { deed: deeds[name], needed };
  });
  const table = renderTable(
    [{ title: 'people', align: 'right' }, { title: 'to' }],
    rows.map(({ deed, needed }) => [String(needed), deed]),
    style,
  );
  const alone = rows.filter(({ needed }) => needed === 1).map(({ deed }) => deed);
  if (alone.length === 0) return table;
  const list = alone.map((deed) => `  - ${deed}\n`).join('');
  return `${table}\nOne person alone, or whoever gets hold of one person's key, is enough to:\n${list}`;
}

function validity(after: number | undefined, before: number | undefined): string {
  const date = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
  const from = after === undefined ? '' : `from ${date(after)} `;
  return before === undefined ? from || 'always' : `${from}until ${date(before)}`;
}
