import type { BlockedAction, BlockedDocument } from '@felhom/protocol';
import { CliError, exitCodes } from '../io.ts';
import type { VerifiedHost } from '../verified-host.ts';
import { guestWords, meaning, operand } from './job-file.ts';
import type { JobFile, Meaning } from './job-file.ts';

export const approve: JobFile<'approve'> = {
  kind: 'approve',
  commands: [
    {
      name: 'approve',
      about: 'allow exactly one blocked action, once (as felhom approve)',
      operands: [['<digest>', 'digest of the blocked action, or its first digits']],
      options: [],
      params: (host, given) => ({ digest: blockedNamed(host, operand(given, 0)).digest }),
    },
  ],
  meaning(params, host) {
    const action = host.report.blocked.find(({ digest }) => digest === params.digest);
    if (action === undefined)
      return meaning(`allow a blocked action ${params.digest} that ${host.hostId} does not report`, {
        notes: ['The host refuses it unless it asks for exactly this again.'],
        classes: ['destroy', 'removal'],
        atLeast: 2,
      });
    return meaningOfBlocked(action.document, host);
  },
};

/** By its digest or the first digits of it, eight at least. */
export function blockedNamed(host: VerifiedHost, prefix: string): BlockedAction {
  const found = /^[0-9a-f]{8,64}$/.test(prefix)
    ? host.report.blocked.filter(({ digest }) => digest.startsWith(prefix))
    : [];
  const [only] = found;
  if (only !== undefined && found.length === 1 && only.document.hostEpoch === host.statement.hostEpoch) return only;
  throw new CliError(
    exitCodes.failed,
    'approve.no-such-action',
    `cannot approve ${JSON.stringify(prefix)} on ${host.hostId}: ${
      found.length > 1
        ? 'more than one blocked action begins so'
        : only === undefined
          ? 'the host reports no blocked action that begins so (eight digits at least)'
          : 'the action is of an earlier epoch of the host'
    }`,
    `felhom approve ${host.hostId} lists them; nothing was signed`,
  );
}

/** From the document alone: the words beside it decide nothing. */
export function meaningOfBlocked(document: BlockedDocument, host: VerifiedHost): Meaning {
  const removal = document.verb === 'guest-remove';
  const parameters = Object.entries(document.parameters).map(
    ([name, value]) => `${name} = ${Array.isArray(value) ? value.join(', ') : String(value)}`,
  );
  return meaning(`${document.verb} of ${subjectWords(document.subject, host)}`, {
    loses: document.lossSet,
    widens: widening[document.effectClass],
    notes: parameters,
    classes: removal ? ['destroy', 'removal'] : [document.effectClass],
    atLeast: removal ? 2 : 1,
  });
}

const widening = {
  destroy: [],
  disclose: ['Data or access goes somewhere new.'],
  deploy: ['New code runs next to data.'],
  divert: ['The guest may be unreachable, weaker, differently connected or less protected afterwards.'],
} as const;

function subjectWords(subject: string, host: VerifiedHost): string {
  if (subject === 'host') return `the host ${host.hostId} itself`;
  if (subject.startsWith('guest:')) return `a new guest ${subject.slice('guest:'.length)}`;
  const dot = subject.indexOf('.');
  return guestWords(host, { uid: subject.slice(0, dot), incarnation: Number(subject.slice(dot + 1)) });
}
