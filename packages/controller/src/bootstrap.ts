/**
 * How a guest comes by its token: by the claim in its environment, or, where no environment reaches it, by the bridge port
 * alone while its host holds the window open [R26]. A token that the host no longer takes is worth nothing until the host
 * has authorised the guest anew; the guest asks with growing pauses and does nothing else.
 */
import { guestToken, parseClaim } from '@felhom/protocol';
import type { LocalAnswer } from '@felhom/protocol';
import { z } from 'zod';
import { createLocalClient } from './client/client.ts';
import type { LocalResult } from './client/client.ts';
import { machineId, obeyIdentity, parseDirective, sha256 } from './identity.ts';
import type { IdentityDirective } from './identity.ts';
import { guestPaths } from './paths.ts';
import type { Clock, Connect, GuestFiles, HostKeys, HostTrust, Random } from './ports.ts';
import { readRecord, writeRecord } from './record.ts';
import type { RecordKind } from './record.ts';

const sessionSchema = z.object({
  v: z.literal(1),
  token: guestToken,
  guest: z.string(),
  name: z.string(),
  address: z.string(),
  ca: z.array(z.string()).min(1).max(2),
  /** SHA-256 of the claim that it was made from; absent: by the bridge port. */
  claim: z.string().optional(),
});
/** What the guest knows of its host, and by what its host knows it. */
export type Session = z.output<typeof sessionSchema>;
const sessionRecord: RecordKind<Session> = { path: guestPaths.session, schema: sessionSchema };

export interface BootstrapNeeds {
  readonly files: GuestFiles;
  readonly clock: Clock;
  readonly random: Random;
  readonly hostKeys: HostKeys;
  readonly connect: Connect;
  /** `FELHOM_CLAIM` and `FELHOM_IDENTITY` of PID 1's environment. */
  readonly claim: string | undefined;
  readonly identity: string | undefined;
  /** `address:port` where the host listens on a node whose environments do not reach its guests. */
  readonly gateway: string | undefined;
  /** When this start began: trust on first use ends `firstUseMs` later. */
  readonly startedAt: number;
  readonly say: (line: string) => void;
}

/** A host that nobody pinned is believed for so long after a start. */
export const firstUseMs = 600_000;
const firstPauseMs = 1_000;
const longestPauseMs = 60_000;

/** The early part, before anything else runs. `test`: the guest is looked at by its host and connects to nobody. */
export async function settleIdentity(
  needs: Pick<BootstrapNeeds, 'files' | 'random' | 'hostKeys' | 'claim' | 'identity'>,
): Promise<IdentityDirective> {
  const directive = parseDirective(needs.identity);
  await obeyIdentity(needs, directive, sha256(needs.claim ?? ''));
  return directive;
}

/**
 * A session that may be used. `rejected`: the token that the host has answered 401 to. Resolves only with a session;
 * rejects when aborted.
 */
export async function openSession(
  needs: BootstrapNeeds,
  rejected: string | undefined,
  signal: AbortSignal,
): Promise<Session> {
  for (let tries = 0; ; tries += 1) {
    signal.throwIfAborted();
    const stored = await readSession(needs.files);
    const unused = unusedClaim(needs.claim, stored);
    if (stored !== undefined && stored.token !== rejected && unused === undefined) return stored;
    const opened = await tryToRedeem(needs, stored, unused, signal);
    if (opened !== undefined) return opened;
    // A new claim that came to nothing leaves the old token as good as it was.
    if (stored !== undefined && stored.token !== rejected && tries > 0) return stored;
    await needs.clock.sleep(pauseAfter(tries, needs.random), signal);
  }
}

export async function readSession(files: GuestFiles): Promise<Session | undefined> {
  const held = await readRecord(files, sessionRecord);
  return held.is === 'held' ? held.value : undefined;
}

/** Redeemed once: the environment goes on showing a claim after it is worth nothing. */
function unusedClaim(text: string | undefined, stored: Session | undefined) {
  const claim = text === undefined ? undefined : parseClaim(text);
  return claim === undefined || stored?.claim === sha256(claim.secret) ? undefined : claim;
}

async function tryToRedeem(
  needs: BootstrapNeeds,
  stored: Session | undefined,
  claim: ReturnType<typeof unusedClaim>,
  signal: AbortSignal,
): Promise<Session | undefined> {
  if (claim !== undefined) {
    const trust: HostTrust = { is: 'pin', spkiSha256: claim.spkiSha256 };
    const by = sha256(claim.secret);
    const answer = await redeem(needs, claim.address, trust, claim.secret, `claim-${by.slice(0, 40)}`, signal);
    if (answer.is === 'ok') return keep(needs, answer.value, claim.address, by);
    needs.say(`cannot redeem the claim: ${whyNot(answer)}`);
  }
  const key = `port-${sha256(`${needs.startedAt} ${stored?.token ?? ''}`).slice(0, 40)}`;
  for (const { address, trust } of knownHosts(needs, stored, claim)) {
    const answer = await redeem(needs, address, trust, undefined, key, signal);
    if (answer.is === 'ok') return keep(needs, answer.value, address, undefined);
    needs.say(`cannot redeem by the bridge port: ${whyNot(answer)}`);
    // The host that is known is there and says no: nobody else is believed in its place.
    if (answer.is === 'problem') return undefined;
  }
  return undefined;
}

/** Where the host may be and how it would be known, the best first; unknown ones count for a while only. */
function knownHosts(
  needs: BootstrapNeeds,
  stored: Session | undefined,
  claim: ReturnType<typeof unusedClaim>,
): { readonly address: string; readonly trust: HostTrust }[] {
  if (claim !== undefined) return [{ address: claim.address, trust: { is: 'pin', spkiSha256: claim.spkiSha256 } }];
  const known: { readonly address: string; readonly trust: HostTrust }[] =
    stored === undefined ? [] : [{ address: stored.address, trust: { is: 'ca', pems: stored.ca } }];
  const inWindow = needs.clock.now() - needs.startedAt < firstUseMs;
  if (needs.gateway === undefined || !inWindow) return known;
  return [...known, { address: needs.gateway, trust: { is: 'first-use' } }];
}

async function redeem(
  needs: BootstrapNeeds,
  address: string,
  trust: HostTrust,
  secret: string | undefined,
  idempotencyKey: string,
  signal: AbortSignal,
): Promise<LocalResult<LocalAnswer<'redeem'>>> {
  const machine = await machineId(needs.files);
  const client = createLocalClient({ transport: needs.connect(address, trust), clock: needs.clock });
  return client.redeem(
    {
      ...(secret === undefined ? {} : { claim: secret }),
      ...(machine === undefined ? {} : { machine: sha256(machine) }),
    },
    signal,
    { idempotencyKey },
  );
}

/** On the disk before it is used: a token that is lost cannot be had twice. */
async function keep(
  needs: BootstrapNeeds,
  redeemed: LocalAnswer<'redeem'>,
  address: string,
  claim: string | undefined,
): Promise<Session> {
  const { token, guest, name, ca, identity } = redeemed;
  const session: Session = { v: 1, token, guest, name, address, ca, ...(claim === undefined ? {} : { claim }) };
  await writeRecord(needs.files, sessionRecord, session);
  // Where an environment says it, it has been obeyed before the first connection.
  if (needs.identity === undefined && identity !== 'none') await obeyIdentity(needs, identity, sha256(token));
  return session;
}

const whyNot = (answer: Exclude<LocalResult<unknown>, { is: 'ok' }>): string =>
  answer.is === 'lost' ? answer.text : `${answer.problem.status} ${answer.problem.detail}`;

/** Doubles up to a minute; a random part keeps guests that start together apart. */
function pauseAfter(tries: number, random: Random): number {
  const full = Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(tries, 10));
  return full / 2 + (full / 2) * ((random.bytes(1)[0] ?? 0) / 255);
}
