/**
 * What this operator knows of hosts without asking a hub: their keys, pinned out of band, and the newest that each has
 * signed. A hub that shows less than that is caught by it [R10].
 */
import { digest, hostEpoch, parsePublicKey } from '@felhom/protocol';
import type { HostStatement, Versioned } from '@felhom/protocol';
import { z } from 'zod';
import type { CliIo } from './io.ts';
import { privatePath, readPrivateFile, writePrivateFile } from './private-file.ts';

const count = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

/** The newest statement of one life of a host. */
const seen = z.strictObject({
  hostEpoch,
  sequence: count,
  /** Of the statement's text: one sequence belongs to one statement. */
  statement: digest,
  audit: z.strictObject({ count, head: digest }),
});
export type Seen = z.output<typeof seen>;

const pin = z.strictObject({
  key: z
    .string()
    .max(400)
    .refine((line) => parsePublicKey(line)?.line === line, 'an ssh-ed25519 key without comment'),
  /** Milliseconds since the epoch on the operator's clock. */
  pinnedAt: count,
  /** The life of the host that is believed; absent until its first statement was seen. */
  current: seen.optional(),
  /** Earlier lives, newest first: nothing of theirs is believed again. */
  former: z.array(seen).max(50).default([]),
});
export type Pin = z.output<typeof pin>;

const pinsFile = z.strictObject({ v: z.literal(1), hosts: z.record(z.string().max(40), pin) });
const pinsKind: Versioned<z.output<typeof pinsFile>> = { what: 'pins of hosts', versions: [1], schema: pinsFile };

const path = (io: Pick<CliIo, 'env' | 'homeDirectory'>): string => privatePath(io, 'pins.json');

export async function loadPin(io: CliIo, host: string): Promise<Pin | undefined> {
  const hosts = (await readPrivateFile(path(io), pinsKind))?.hosts ?? {};
  return Object.hasOwn(hosts, host) ? hosts[host] : undefined;
}

export async function savePin(io: CliIo, host: string, value: Pin): Promise<void> {
  const hosts = (await readPrivateFile(path(io), pinsKind))?.hosts ?? {};
  await writePrivateFile(path(io), { v: 1, hosts: { ...hosts, [host]: value } } satisfies z.output<typeof pinsFile>);
}

/** What to keep of a statement that was verified. */
export function seenIn(statement: HostStatement, statementDigest: Seen['statement']): Seen {
  const { hostEpoch: epoch, sequence, audit } = statement;
  return { hostEpoch: epoch, sequence, statement: statementDigest, audit };
}

/** Another life of the host counts from now on; the one before never again. */
export function enterEpoch(before: Pin, next: Seen): Pin {
  const former = before.current === undefined ? before.former : [before.current, ...before.former].slice(0, 50);
  return { ...before, current: next, former };
}
