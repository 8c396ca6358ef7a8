/**
 * The agent's own certificate authority for the local API, and the server certificate under it. One file, replaced whole.
 * A guest pins the CA's key [R28]: the CA stays for years, the server certificate renews itself every two months.
 *
 * A change of the CA overlaps: first both are handed out, much later the next one signs.
 */
import { createHash, createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import {
  closeSync,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { createSecureContext } from 'node:tls';
import type { SecureContextOptions } from 'node:tls';
import { z } from 'zod';
import { reason } from '@felhom/protocol';
import type { Reason } from '@felhom/protocol';
import type { Clock } from '../../kernel/clock.ts';
import type { LocalAuthority } from '../../ports/local-authority.ts';
import type { Loaded } from '../config-file/index.ts';

export const localCaFileName = 'local-ca.json';

export interface LocalCaOptions {
  /** The agent's state directory. */
  readonly directory: string;
  /** That guests reach the agent at: the server certificate is for it. */
  readonly address: string;
  readonly clock: Pick<Clock, 'now'>;
}

export interface LocalCa extends LocalAuthority {
  /** What a TLS server shows: its certificate and the CA's, so that a guest with nothing but a pin can check it. */
  readonly secureContext: () => SecureContextOptions;
  /** Writes what is due by the clock: a server certificate, a next CA, the change to it. True: serve the new context. */
  readonly renew: () => Promise<boolean>;
  /** Makes the next CA at once, e.g. because the key may be known: guests that ask are given both. */
  readonly beginChange: () => Promise<void>;
  /** The next CA signs from now on, and is the pin of new claims. Guests that were never given it are locked out. */
  readonly finishChange: () => Promise<void>;
}

const day = 24 * 3_600_000;
const caDays = 3650;
const serverDays = 90;
/** Both CAs are handed out for so long before the next one signs. */
const overlapDays = 365;
/** A certificate begins a while ago: a clock that is set back a little must not make it invalid. */
const earlierMs = 3_600_000;

const pair = z.strictObject({ key: z.string().max(2000), cert: z.string().max(4000) });
const content = z.strictObject({
  v: z.literal(1),
  ca: pair,
  next: z.strictObject({ ...pair.shape, since: z.number() }).optional(),
  server: z.strictObject({ ...pair.shape, address: z.string().max(50) }),
});
type Content = z.output<typeof content>;

/**
 * Opens the authority of this directory, or makes one where there is none. A file that cannot be used is left as it is:
 * guests have pinned what is in it. Errors: `config.unreadable`, `config.invalid`, `config.secret-exposed`.
 */
export async function openLocalCa(options: LocalCaOptions): Promise<Loaded<LocalCa>> {
  const { directory } = options;
  const file = join(directory, localCaFileName);
  try {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    if (!readdirSync(directory).includes(localCaFileName)) write(directory, await first(options));
  } catch (error) {
    return bad('config.unreadable', `cannot make the authority ${file}: ${(error as Error).message}`);
  }
  const text = readOwn(file);
  if (text.is === 'bad') return text;
  const read = parse(text.value);
  if (read === undefined)
    return bad(
      'config.invalid',
      `cannot use ${file}: it is damaged; put it back from a backup, or remove it: then every guest needs a new claim`,
    );
  try {
    const ca = localCaOf(options, read);
    await ca.renew();
    return { is: 'loaded', value: ca };
  } catch (error) {
    return bad('config.unreadable', `cannot renew ${file}: ${(error as Error).message}`);
  }
}

function localCaOf({ directory, address, clock }: LocalCaOptions, start: Content): LocalCa {
  let held = start;
  let work: Promise<unknown> = Promise.resolve();
  const keep = (next: Content): void => {
    write(directory, next);
    held = next;
  };
  /** One change after the other. */
  const inTurn = async <T>(change: () => Promise<T>): Promise<T> => {
    const mine = work.then(change);
    work = mine.catch(() => undefined);
    return mine;
  };
  const begin = async (): Promise<void> => {
    if (held.next !== undefined) return;
    keep({ ...held, next: { ...(await newAuthority(clock.now())), since: clock.now() } });
  };
  const finish = async (): Promise<void> => {
    if (held.next === undefined) return;
    const { since: _, ...ca } = held.next;
    keep({ v: 1, ca, server: await newServer(ca, address, clock.now()) });
  };
  return {
    trusted: () => [held.ca.cert, ...(held.next === undefined ? [] : [held.next.cert])],
    spkiSha256: () => spkiOf(held.ca.cert),
    secureContext: () => ({
      key: held.server.key,
      cert: `${held.server.cert}\n${held.ca.cert}`,
      minVersion: 'TLSv1.3',
    }),
    beginChange: () => inTurn(begin),
    finishChange: () => inTurn(finish),
    renew: () =>
      inTurn(async () => {
        const before = held;
        const now = clock.now();
        // The clock was far off when it was written. The key stays, and so does every guest's pin.
        if (partOfLife(held.ca.cert, now) === undefined)
          keep({ ...held, ca: await (await writer()).writeAuthority(caName(), forDays(now, caDays), held.ca.key) });
        if (held.next === undefined && isDue(held.ca.cert, now)) await begin();
        if (held.next !== undefined && now - held.next.since >= overlapDays * day) await finish();
        const { server } = held;
        const signed = new X509Certificate(server.cert).checkIssued(new X509Certificate(held.ca.cert));
        if (!signed || server.address !== address || isDue(server.cert, now))
          keep({ ...held, server: await newServer(held.ca, address, now) });
        return held !== before;
      }),
  };
}

/** The certificate library takes an eighth of a second and 25 MB; most starts need none of it. */
const writer = async (): Promise<typeof import('./certificates.ts')> => import('./certificates.ts');

async function first({ address, clock }: LocalCaOptions): Promise<Content> {
  const ca = await newAuthority(clock.now());
  return { v: 1, ca, server: await newServer(ca, address, clock.now()) };
}

/** Nothing of the host in it: a guest is told the CA, and needs to know no more. */
const caName = (): string => 'felhom-agent CA';
const newAuthority = async (now: number): Promise<Content['ca']> =>
  (await writer()).writeAuthority(caName(), forDays(now, caDays));
const newServer = async (ca: Content['ca'], address: string, now: number): Promise<Content['server']> => ({
  ...(await (await writer()).writeServer(ca, address, forDays(now, serverDays))),
  address,
});

const forDays = (now: number, days: number): { notBefore: Date; notAfter: Date } => ({
  notBefore: new Date(now - earlierMs),
  notAfter: new Date(now - earlierMs + days * day),
});

/** How much of its life is over, 0..1; `undefined`: it is not valid now. */
function partOfLife(cert: string, now: number): number | undefined {
  const { validFromDate, validToDate } = new X509Certificate(cert);
  const from = validFromDate.getTime();
  const part = (now - from) / (validToDate.getTime() - from);
  return part >= 0 && part < 1 ? part : undefined;
}

const isDue = (cert: string, now: number): boolean => (partOfLife(cert, now) ?? 1) >= 2 / 3;

const spkiOf = (cert: string): string =>
  createHash('sha256')
    .update(new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' }))
    .digest('hex');

/** `undefined`: it does not read, or a certificate and its key do not belong together. */
function parse(text: string): Content | undefined {
  try {
    const read = content.parse(JSON.parse(text));
    for (const { key, cert } of [read.ca, read.server, ...(read.next === undefined ? [] : [read.next])]) {
      const own = createPublicKey(createPrivateKey(key)).export({ type: 'spki', format: 'der' });
      if (!own.equals(new X509Certificate(cert).publicKey.export({ type: 'spki', format: 'der' }))) return undefined;
    }
    createSecureContext({ key: read.server.key, cert: read.server.cert });
    return read;
  } catch {
    return undefined;
  }
}

function readOwn(file: string): Loaded<string> {
  try {
    const descriptor = openSync(file, 'r');
    try {
      const facts = fstatSync(descriptor);
      if (!facts.isFile() || facts.size > 16_384)
        return bad('config.invalid', `cannot use ${file}: it is not what the agent wrote`);
      if ((facts.mode & 0o077) !== 0)
        return bad('config.secret-exposed', `cannot use ${file}: others can read it; run: chmod 600 ${file}`);
      return { is: 'loaded', value: readFileSync(descriptor, 'utf8') };
    } finally {
      closeSync(descriptor);
    }
  } catch (error) {
    return bad('config.unreadable', `cannot read ${file}: ${(error as Error).message}`);
  }
}

/** Complete under another name first, and on disk before it has its own. */
function write(directory: string, value: Content): void {
  const draft = join(directory, `.${localCaFileName}.${process.pid}`);
  const descriptor = openSync(draft, 'w', 0o600);
  try {
    try {
      writeSync(descriptor, `${JSON.stringify(value)}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(draft, join(directory, localCaFileName));
  } catch (error) {
    unlinkSync(draft);
    throw error;
  }
  const folder = openSync(directory, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}

function bad(
  code: 'config.unreadable' | 'config.invalid' | 'config.secret-exposed',
  text: string,
): { is: 'bad'; why: Reason } {
  return { is: 'bad', why: reason(code, text) };
}
