/** Two readers of one text: everything by which a payload or an envelope could say two things at once. */
import { signatureNamespaces } from '@felhom/protocol';
import { sealed } from '../../world/sign-job.ts';
import type { Target, Trick } from '../trick.ts';

const gain = 'one reader sees a harmless job where another carries out a removal';
const unreadable = { audit: /envelope\.refused|job\.unreadable/, shown: /job\.unreadable/ };

/** A text that two people really signed, although no command line of ours would write it. */
function payload(name: string, write: (canonical: string, target: Target) => string | Uint8Array): Trick {
  return {
    name: `a payload ${name}`,
    gain,
    play: (target) => {
      const { alice, bob } = target.cast;
      const canonical = target.removal([]).payload.toString('utf8');
      return target.deliver(sealed(Buffer.from(write(canonical, target)), [alice, bob]));
    },
    leaves: unreadable,
  };
}

/** An envelope around a removal that two people signed, laid out as no honest hub would. */
function around(
  name: string,
  write: (good: string, target: Target) => string,
  leaves: Trick['leaves'] = unreadable,
): Trick {
  return {
    name: `an envelope ${name}`,
    gain,
    play: (target) => {
      const { alice, bob } = target.cast;
      return target.deliver(write(target.removal([alice, bob]).envelope, target));
    },
    leaves,
  };
}

const withPayload = (good: string, change: (base64: string) => string): string =>
  good.replace(/"payload":"([^"]*)"/, (_, base64: string) => `"payload":${JSON.stringify(change(base64))}`);

const uidOf = (target: Target): string => target.guest('photos').uid;

/** The last character of this base64 with a stray bit set, which decodes to the same bytes. */
function strayBit(base64: string): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
  return base64.replace(
    /(.)(=+)$/,
    (_, last: string, pad: string) => `${alphabet[alphabet.indexOf(last) + 1] ?? 'B'}${pad}`,
  );
}

export const textTricks: readonly Trick[] = [
  payload('with a key twice', (text) => text.replace('"kind":', '"kind":"cancel","kind":')),
  payload('with a key twice, once escaped', (text) => text.replace('"kind":', '"k\\u0069nd":"cancel","kind":')),
  payload('with an escaped letter in a value', (text) => text.replace('"decommission"', '"d\\u0065commission"')),
  payload('with a look-alike letter in a key', (text) => text.replace('"kind"', '"кind"')),
  payload('with full-width letters in a value', (text) => text.replace('"lab"', '"ｌａｂ"')),
  payload('with a byte order mark', (text) => `\uFEFF${text}`),
  payload('with a blank at its end', (text) => `${text} `),
  payload('with a line end', (text) => `${text}\n`),
  payload('with a zero byte at its end', (text) => `${text}\0`),
  payload('with a second document behind it', (text) => `${text}${text}`),
  payload('with blanks between its fields', (text) => JSON.stringify(JSON.parse(text), undefined, 1)),
  payload('with its fields in another order', (text) =>
    JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text) as object).toReversed())),
  ),
  payload('with a number as minus zero', (text) => text.replace(/"incarnation":\d+/, '"incarnation":-0')),
  payload('with a number in another notation', (text) => text.replace(/"v":1/, '"v":1e0')),
  payload('with a fraction of nothing', (text) => text.replace(/"v":1/, '"v":1.0')),
  payload('with a number that does not fit', (text) =>
    text.replace(/"expiresAt":\d+/, '"expiresAt":99999999999999999999'),
  ),
  payload('with a lone surrogate', (text) => text.replace('"keep"', '"keep\\ud800"')),
  payload('with bytes that are no UTF-8', (text) =>
    Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from([0xff, 0xfe]), Buffer.from('}')]),
  ),
  payload('with a field for the prototype', (text) => text.replace('{"', '{"__proto__":{"kind":"decommission"},"')),
  payload('with a field that nobody knows', (text) => text.replace('"v":1', '"scratch":true,"v":1')),
  payload('of another version', (text) => text.replace('"v":1', '"v":2')),
  payload('of a kind that nobody knows', (text) => text.replace('"decommission"', '"destroy-all"')),
  payload('that is a list', (text) => `[${text}]`),
  payload('nested a thousand deep', (text) => text.replace('"keep"', `${'['.repeat(1000)}${']'.repeat(1000)}`)),
  payload('that is empty', () => ' '),
  around(
    'with its payload twice, the signed one first',
    (good, target) =>
      good.replace(
        /,"signatures"/,
        `,"payload":"${target.world.sign('cancel', { job: 'a'.repeat(26) }, []).payload.toString('base64')}","signatures"`,
      ),
    { audit: /envelope\.refused|job\.not-signed/, shown: /job\.not-signed/ },
  ),
  around('with a field that nobody knows', (good) => good.replace('{"v":1', '{"v":1,"urgent":true')),
  around('with a field for the prototype', (good) => good.replace('{"v":1', '{"__proto__":{"v":1},"v":1')),
  around('of another version', (good) => good.replace('"v":1', '"v":2')),
  around('with blanks in its base64', (good) =>
    withPayload(good, (base64) => `${base64.slice(0, 8)} ${base64.slice(8)}`),
  ),
  around('with line ends in its base64', (good) => withPayload(good, (base64) => base64.replace(/(.{76})/g, '$1\n'))),
  around('with base64 for addresses', (good) =>
    withPayload(good, (base64) => base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '-')),
  ),
  around('with more padding than base64 has', (good) => withPayload(good, (base64) => `${base64}====`)),
  around('with a stray bit in its base64', (good, target) => {
    // Only a length that is no multiple of three leaves bits over.
    const { alice, bob } = target.cast;
    const fits = [good, ...[1, 2, 3].map((at) => target.removal([alice, bob], { issuedAt: 10 ** at }).envelope)];
    const padded = fits.find((one) => /"payload":"[^"]*="/.test(one)) ?? good;
    return withPayload(padded, strayBit);
  }),
  around('with signatures that are objects', (good) =>
    good.replace(/"signatures":\[.*\]/, '"signatures":[{"length":1}]'),
  ),
  around('with a signature in two armours', (good) => good.replace(/-----END SSH SIGNATURE-----\\n/, '$&$&'), {
    audit: /envelope\.refused|job\./,
    shown: /"state":"waiting"|envelope\.refused/,
  }),
  around('that is no JSON', (good) => good.slice(0, -1)),
  around('nested ten thousand deep', () => `${'['.repeat(10_000)}${']'.repeat(10_000)}`),
  around('whose payload is another envelope', (good, { cast }) => sealed(Buffer.from(good), [cast.alice, cast.bob])),
  {
    name: 'a payload that names the guest in capitals',
    gain,
    play: (target) => {
      const { alice, bob } = target.cast;
      const canonical = target.removal([]).payload.toString('utf8');
      const text = canonical.replaceAll(uidOf(target), uidOf(target).toUpperCase());
      return target.deliver(sealed(Buffer.from(text), [alice, bob]));
    },
    leaves: unreadable,
  },
  {
    name: 'a payload signed in the armour of another tool',
    gain,
    play: async (target) => {
      const { alice, bob } = target.cast;
      const { payload: bytes } = target.removal([]);
      const pgp = [alice, bob]
        .map((person) => person.sign(signatureNamespaces.job, bytes))
        .map((text) => text.replaceAll('SSH SIGNATURE', 'PGP SIGNATURE'));
      await target.deliver(JSON.stringify({ v: 1, payload: bytes.toString('base64'), signatures: pgp }));
    },
    leaves: { audit: /envelope\.refused|job\.not-signed/, shown: /job\.not-signed/ },
  },
];
