/** Gets what a hub or a file claims about a host, has it verified, and remembers the newest that the host signed. */
import { parseVersionedJson, report, signedStatement } from '@felhom/protocol';
import type { Versioned } from '@felhom/protocol';
import { z } from 'zod';
import type { CommandContext } from './command-context.ts';
import type { HubClient } from './hub-client.ts';
import { CliError, exitCodes } from './io.ts';
import { loadPin, savePin } from './pins.ts';
import { readText } from './settings.ts';
import { verifyHost } from './verified-host.ts';
import type { HostClaim, Purpose, VerifiedHost } from './verified-host.ts';

const challengeFile = z.strictObject({
  v: z.literal(1),
  host: z.string().max(40),
  statement: signedStatement,
  report,
});
export type ChallengeFile = z.output<typeof challengeFile>;
const challengeKind: Versioned<ChallengeFile> = { what: 'challenge of a host', versions: [1], schema: challengeFile };

/** Between two polls the hub may have the statement of one and the report of the other. */
const hubTries = 3;
const betweenTriesMs = 2000;

/** Where a hub is not needed, `hub` is not called. */
export async function lookAtHost(
  context: CommandContext,
  hostId: string,
  from: string | undefined,
  hub?: HubClient,
  purpose: Purpose = 'signing',
): Promise<VerifiedHost> {
  if (from !== undefined) return believe(context, hostId, await readChallenge(hostId, from), purpose);
  if (hub === undefined) return context.withHub((opened) => lookAtHost(context, hostId, undefined, opened, purpose));
  for (let attempt = 1; ; attempt += 1) {
    const { host } = await hub.host(hostId);
    try {
      return await believe(context, hostId, host, purpose);
    } catch (error) {
      if (attempt === hubTries || !(error instanceof CliError) || error.code !== 'host.report-altered') throw error;
      await context.machine.sleep(betweenTriesMs);
    }
  }
}

async function believe(
  context: CommandContext,
  hostId: string,
  claim: HostClaim,
  purpose: Purpose,
): Promise<VerifiedHost> {
  const pin = await loadPin(context.io, hostId);
  const host = verifyHost(hostId, claim, pin, context.machine.now(), purpose);
  if (pin !== undefined && pin.current?.statement !== host.seen.statement)
    await savePin(context.io, hostId, { ...pin, current: host.seen });
  return host;
}

async function readChallenge(hostId: string, path: string): Promise<HostClaim> {
  const parsed = parseVersionedJson(challengeKind, await readText(path));
  if (parsed.is !== 'ok')
    throw new CliError(
      exitCodes.failed,
      'challenge.invalid',
      `cannot use ${path}: ${parsed.text}`,
      `make it with felhom job challenge ${hostId} --out FILE`,
    );
  if (parsed.value.host !== hostId)
    throw new CliError(
      exitCodes.usage,
      'challenge.other-host',
      `cannot use ${path} for ${hostId}: it is about ${parsed.value.host}`,
      'name the host that the file is about',
    );
  return parsed.value;
}
