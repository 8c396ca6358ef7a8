/** What the tunnel lets in. What is signed is the whole of it; what a person reads is what becomes different. */
import { describeIssues, digestOfTunnel, reachOfTunnel, ruleText, tunnelDeclaration } from '@felhom/protocol';
import type { TunnelDeclaration } from '@felhom/protocol';
import { YAMLParseError, parse } from 'yaml';
import type { VerifiedHost } from '../verified-host.ts';
import { meaning, operand, usage } from './job-file.ts';
import type { JobFile, Meaning } from './job-file.ts';

export const tunnelChange: JobFile<'tunnel-change'> = {
  kind: 'tunnel-change',
  commands: [
    {
      name: 'tunnel-change',
      about: 'change what the tunnel lets in to the guests',
      operands: [['<file>', 'the whole declaration, YAML or JSON: tunnel, and ingress with hostname, path, service']],
      options: [],
      params: async (host, given) => {
        const before = inForce(host);
        const declaration = read(await given.readFile(operand(given, 0)));
        return { ...(before === undefined ? {} : { before: digestOfTunnel(before) }), declaration };
      },
    },
  ],
  meaning: ({ before, declaration }, host) => {
    const now = inForce(host);
    const does = `let in over tunnel ${declaration.tunnel} of ${host.hostId}: ${declaration.ingress.map(ruleText).join('; ')}`;
    if (before !== (now === undefined ? undefined : digestOfTunnel(now)))
      return meaning(does, {
        notes: ['It starts from other rules than those in force: the host will refuse.'],
        classes: ['disclose'],
      });
    return meaning(does, { ...diffTunnel(now, declaration), classes: ['disclose'] });
  },
};

/** As the host itself reports it; of what does not read the host will say that it is something else. */
const inForce = (host: VerifiedHost): TunnelDeclaration | undefined =>
  tunnelDeclaration.safeParse(host.report.tunnelDeclared).data;

function read(text: string): TunnelDeclaration {
  try {
    const declaration = tunnelDeclaration.safeParse(parse(text, { maxAliasCount: 0 }));
    if (declaration.success) return declaration.data;
    throw usage(`the declaration does not read: ${describeIssues(declaration.error)}`);
  } catch (error) {
    if (error instanceof YAMLParseError) throw usage('the file is neither YAML nor JSON');
    throw error;
  }
}

/** Without an earlier one all of it is new; of rules that were written by hand the host tells nothing. */
export function diffTunnel(
  before: TunnelDeclaration | undefined,
  after: TunnelDeclaration,
): Pick<Meaning, 'loses' | 'widens' | 'notes'> {
  const old = (before?.ingress ?? []).map(ruleText);
  const fresh = after.ingress.map(ruleText);
  const oldReach = before === undefined ? [] : reachOfTunnel(before);
  const reach = reachOfTunnel(after);
  const added = only(fresh, old);
  const gone = only(old, fresh);
  const moved = before !== undefined && added.length === 0 && gone.length === 0 && old.join('\n') !== fresh.join('\n');
  return {
    loses: [
      ...gone.map((rule) => `the rule ${rule}`),
      ...only(oldReach, reach).map((one) => `the way from the tunnel to ${one}`),
    ],
    widens: [
      ...added.map((rule) => `new rule: ${rule}`),
      ...only(reach, oldReach).map((one) => `The tunnel may reach ${one}.`),
      ...(before !== undefined && before.tunnel !== after.tunnel
        ? [`another tunnel: ${after.tunnel} instead of ${before.tunnel}`]
        : []),
    ],
    notes: [
      ...(before === undefined
        ? ['The host reports no signed rules: what was written by hand there is replaced by these.']
        : []),
      ...(moved ? ['The rules are the same in another order; the first that fits counts.'] : []),
    ],
  };
}

const only = (some: readonly string[], others: readonly string[]): readonly string[] =>
  some.filter((one) => !others.includes(one));
