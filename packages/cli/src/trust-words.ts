/** A host's trust document in plain words: who may sign, how many are needed for what, how long it lasts. */
import { floorNames, peopleNeeded } from '@felhom/protocol';
import type { Thresholds, TrustDocument } from '@felhom/protocol';
import { indent, printableLine } from '@felhom/terminal';
import type { Style } from '@felhom/terminal';
import { expiryWords, peopleWords, signerWords } from './jobs/trust-diff.ts';
import type { VerifiedHost } from './verified-host.ts';

const classWords = {
  destroy: 'destroy or overwrite data',
  disclose: 'send data somewhere new, or open the host',
  deploy: 'run new code next to data',
  divert: 'make a guest unreachable, weaker or less protected',
  removal: 'remove a guest that served',
  trust: 'change this document (never fewer than the highest of all)',
} as const satisfies Record<keyof Thresholds, string>;

export function describeTrust(host: VerifiedHost, style: Style): string {
  const { trust, report } = host;
  if (trust === undefined)
    return (
      `${style.paint('warn', 'The host trusts nobody')}${report.trust.is === 'unreadable' ? `: ${printableLine(report.trust.text)}` : '.'}\n` +
      '  Nothing that needs a signature can be allowed there.\n  next: as root on the host, felhom-agent trust init\n'
    );
  const needed = neededPerClass(trust);
  const one = Object.values(needed).some((people) => people === 1);
  const lines = Object.entries(classWords).map(
    ([name, words]) => `${peopleWords(needed[name as keyof Thresholds])} to ${words}\n`,
  );
  return [
    `${style.paint('strong', `Trust document ${trust.version}`)}, ${expiryWords(trust.expiresAt, host.statement.at)}\n`,
    'Who may sign:\n',
    ...trust.signers.map((signer) => indent(`${printableLine(signerWords(signer))}\n`)),
    ...(trust.revoked.length === 0 ? [] : [indent(`${trust.revoked.length} keys are revoked\n`)]),
    'How many have to sign:\n',
    ...lines.map((line) => indent(line)),
    one ? style.paint('warn', 'One stolen or misused key is enough for everything above that takes one person.\n') : '',
    trust.loneOperator ? 'Root on the host has said that one person runs it; nothing asks for two.\n' : '',
    'Floors that unsigned change cannot undercut:\n',
    indent(`${floorNames.map((name) => `${name} ${trust.floors[name]}`).join(', ')}\n`),
  ].join('');
}

/** With what no document can lower: two for a removal and for the document itself, unless one person runs the host. */
function neededPerClass(trust: TrustDocument): Thresholds {
  return {
    destroy: peopleNeeded(trust, ['destroy'], 1),
    disclose: peopleNeeded(trust, ['disclose'], 1),
    deploy: peopleNeeded(trust, ['deploy'], 1),
    divert: peopleNeeded(trust, ['divert'], 1),
    removal: peopleNeeded(trust, ['destroy', 'removal'], 2),
    trust: peopleNeeded(trust, ['destroy', 'disclose', 'deploy', 'divert', 'removal', 'trust'], 2),
  };
}
