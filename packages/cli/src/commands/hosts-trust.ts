/** `felhom hosts trust HOST [KEY]`: pins the key of a host, out of band, and shows what the host itself trusts. */
import type { Command } from 'commander';
import { openStatement, parsePublicKey, parseSshsig } from '@felhom/protocol';
import type { HostDetail, SignedStatement, SshPublicKey } from '@felhom/protocol';
import { formatAge, renderFacts } from '@felhom/terminal';
import type { CommandContext } from '../command-context.ts';
import { confirmWithYes } from '../confirm.ts';
import { CliError, exitCodes } from '../io.ts';
import { enterEpoch, loadPin, savePin } from '../pins.ts';
import type { Pin } from '../pins.ts';
import { describeTrust } from '../trust-words.ts';
import { epochVerdict, verifyHost, verifyStatement } from '../verified-host.ts';
import type { VerifiedHost } from '../verified-host.ts';

interface TrustOptions {
  readonly acceptEpoch?: boolean;
  readonly replace?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

export function addHostsTrust(hosts: Command, context: CommandContext): void {
  hosts
    .command('trust')
    .description("pin the key of a host, read from the host's own screen; without a key, show what is pinned")
    .argument('<host>')
    .argument('[key...]', 'its fingerprint (SHA256:…), or the whole line "ssh-ed25519 …"')
    .option('--replace', 'another key is pinned: replace it')
    .option('--accept-epoch', 'the host began a new epoch, and you know why: believe it from now on')
    .option('-y, --yes', 'do not ask')
    .option('--json', 'print JSON')
    .action(async (name: string, words: readonly string[], _: TrustOptions, command: Command) => {
      const options = command.optsWithGlobals<TrustOptions>();
      if (words.length > 0) await pinKey(context, name, words.join(' '), options);
      else if (options.acceptEpoch === true) await acceptEpoch(context, name, options);
      else await showTrust(context, name, options);
    });
}

async function pinKey(context: CommandContext, name: string, typed: string, options: TrustOptions): Promise<void> {
  const before = await loadPin(context.io, name);
  const whole = parsePublicKey(typed);
  const key = whole ?? (await keyOfFingerprint(context, name, typed.trim()));
  if (key.type !== 'ssh-ed25519')
    throw new CliError(exitCodes.usage, 'pin.bad-key', `cannot pin ${name}: the key of a host is ssh-ed25519`);
  if (before !== undefined && before.key !== key.line && options.replace !== true)
    throw new CliError(
      exitCodes.conflict,
      'pin.other-key',
      `cannot pin ${key.fingerprint} for ${name}: ${fingerprint(before)} is pinned`,
      `a host does not change its key by itself: find out why, then felhom hosts trust ${name} KEY --replace`,
    );
  const same = before?.key === key.line;
  const pin: Pin = same ? before : { key: key.line, pinnedAt: context.machine.now(), former: [] };
  await savePin(context.io, name, pin);
  context.print(options, { host: name, fingerprint: key.fingerprint }, () => {
    return same
      ? `${key.fingerprint} was pinned for ${name} already.\n`
      : `Pinned ${key.fingerprint} for ${name}. felhom hosts trust ${name} shows what the host trusts.\n`;
  });
}

/**
 * The hub may hand over a key, because the fingerprint that was typed decides which; it has to be a key that really
 * signed a statement about this host.
 */
async function keyOfFingerprint(context: CommandContext, name: string, typed: string): Promise<SshPublicKey> {
  if (!/^SHA256:[A-Za-z0-9+/]{43}$/.test(typed))
    throw new CliError(
      exitCodes.usage,
      'pin.bad-key',
      `cannot pin ${name}: that is neither a fingerprint (SHA256: and 43 characters) nor a line "ssh-ed25519 …"`,
      'felhom-agent identity prints both on the screen of the host',
    );
  const { statement } = (await context.withHub((hub) => hub.host(name))).host;
  const key = statement === undefined ? undefined : parseSshsig(statement.signature)?.key;
  if (statement === undefined || key === undefined)
    throw new CliError(
      exitCodes.unproven,
      'host.no-statement',
      `cannot pin ${name} by its fingerprint: the hub has no statement signed by it`,
      'give the whole line "ssh-ed25519 …", or wait for the next poll of the host',
    );
  const opened = key.fingerprint === typed ? openStatement(key.line, statement) : undefined;
  if (opened?.is === 'ok' && opened.value.host === name) return key;
  throw new CliError(
    exitCodes.unproven,
    'host.other-key',
    `cannot pin ${typed} for ${name}: what the hub shows of it is signed with ${key.fingerprint}${
      key.fingerprint === typed ? ', but not about this host' : ''
    }`,
    "compare with the host's own screen again; if it was typed right, the hub does not show this host",
  );
}

async function acceptEpoch(context: CommandContext, name: string, options: TrustOptions): Promise<void> {
  const pin = await loadPin(context.io, name);
  const { host } = await context.withHub((hub) => hub.host(name));
  const { statement, seen } = verifyStatement(name, host.statement, pin);
  const verdict = epochVerdict(statement, pin);
  if (verdict?.code === 'host.former-epoch') throw verdict;
  if (pin === undefined || verdict === undefined) {
    context.print(options, { host: name, hostEpoch: statement.hostEpoch, accepted: false }, () => {
      return `${name} is in the epoch that is believed already (${statement.hostEpoch}).\n`;
    });
    return;
  }
  context.io.stderr.write(
    `${verdict.message}.\nAfterwards nothing from epoch ${pin.current?.hostEpoch ?? ''} is believed again.\n`,
  );
  await confirmWithYes(context, options, `Believe the new epoch of ${name}?`);
  await savePin(context.io, name, enterEpoch(pin, seen));
  context.print(options, { host: name, hostEpoch: statement.hostEpoch, accepted: true }, () => {
    return `${name} is believed in epoch ${statement.hostEpoch} from now on.\n`;
  });
}

async function showTrust(context: CommandContext, name: string, options: TrustOptions): Promise<void> {
  const pin = await loadPin(context.io, name);
  const { host, now } = await context.withHub((hub) => hub.host(name));
  const verified = pin === undefined ? undefined : verifyHost(name, host, pin, context.machine.now());
  if (pin !== undefined && verified !== undefined) await savePin(context.io, name, { ...pin, current: verified.seen });
  const shown = {
    host: name,
    pinned: pin !== undefined,
    ...(pin === undefined ? {} : { fingerprint: fingerprint(pin) }),
  };
  context.print(options, { ...shown, statement: verified?.statement, trust: verified?.trust ?? null }, () =>
    pin === undefined || verified === undefined
      ? unpinned(name, host)
      : renderFacts(facts(pin, verified, now), context.style) + `\n${describeTrust(verified, context.style)}`,
  );
}

function facts(pin: Pin, host: VerifiedHost, now: number): readonly (readonly [string, string])[] {
  return [
    ['pinned key', fingerprint(pin)],
    ['pinned', formatAge(pin.pinnedAt, now)],
    ['epoch', host.statement.hostEpoch],
    ['statement', `${host.statement.sequence}, ${formatAge(host.statement.at, now)}`],
    ['audit log', `${host.statement.audit.count} entries`],
    ...(pin.former.length === 0 ? [] : [['earlier epochs', String(pin.former.length)] as const]),
  ];
}

function unpinned(name: string, host: HostDetail): string {
  const claimed = host.statement === undefined ? undefined : claimedKey(host.statement);
  const word = claimed === undefined ? 'The hub has no statement signed by it.' : `The hub's word only: ${claimed}`;
  return (
    `The key of ${name} is not pinned, so nothing that the hub says about it can be verified.\n${word}\n` +
    `  next: felhom-agent identity on the host's own screen, then felhom hosts trust ${name} FINGERPRINT here\n`
  );
}

const claimedKey = (statement: SignedStatement): string | undefined =>
  parseSshsig(statement.signature)?.key.fingerprint;
const fingerprint = (pin: Pick<Pin, 'key'>): string => parsePublicKey(pin.key)?.fingerprint ?? pin.key;
