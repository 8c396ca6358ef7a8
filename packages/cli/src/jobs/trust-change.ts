import { digestOfTrust, parsePublicKey, signatureNamespaces } from '@felhom/protocol';
import type { Signer, TrustDocument } from '@felhom/protocol';
import type { VerifiedHost } from '../verified-host.ts';
import { listOption, meaning, notShown, operand, option, requiredOption, usage, wholeNumber } from './job-file.ts';
import type { JobFile } from './job-file.ts';
import { diffTrust } from './trust-diff.ts';

const day = 24 * 60 * 60_000;
const defaultDays = 90;

export const trustChange: JobFile<'trust-change'> = {
  kind: 'trust-change',
  commands: [
    {
      name: 'trust-add',
      about: 'let another key sign for a person',
      operands: [
        ['<person>', 'name of the person, lower-case'],
        ['<file>', 'public key file'],
      ],
      options: [
        ['--signs <what...>', 'jobs, releases or both; else jobs'],
        ['--touch', 'for FIDO2 keys: only signatures with a touch count'],
      ],
      params: async (host, given) => {
        const key = parsePublicKey(await given.readFile(operand(given, 1)));
        if (key === undefined) throw usage('the file has to hold an ssh-ed25519 or sk-ssh-ed25519 public key');
        const touch = given.options['touch'] === true;
        const added = {
          principal: operand(given, 0),
          key: key.line,
          signs: purposes(listOption(given, 'signs')),
          touch,
        };
        return change(host, (document) => ({ signers: [...document.signers, added] }));
      },
    },
    {
      name: 'trust-retire',
      about: 'a key, or all keys of a person, may not sign any more',
      operands: [['<who>', 'name of the person, or fingerprint of one key (SHA256:…)']],
      options: [['--revoke', 'void whatever it signed before as well: for keys that were lost or stolen']],
      params: (host, given) => {
        const who = operand(given, 0);
        const goes = (signer: Signer): boolean =>
          signer.principal === who || parsePublicKey(signer.key)?.fingerprint === who;
        return change(host, (document) => {
          const gone = document.signers.filter(goes).map(({ key }) => key);
          if (gone.length === 0)
            throw notShown(
              `nobody called ${JSON.stringify(who)} may sign on ${host.hostId}`,
              `felhom hosts trust ${host.hostId}`,
            );
          return {
            signers: document.signers.filter((signer) => !goes(signer)),
            revoked: given.options['revoke'] === true ? [...new Set([...document.revoked, ...gone])] : document.revoked,
          };
        });
      },
    },
    {
      name: 'trust-threshold',
      about: 'how many people have to sign for a class of effects',
      operands: [
        ['<class>', 'destroy, disclose, deploy, divert, removal or trust'],
        ['<people>', 'how many'],
      ],
      options: [],
      params: (host, given) => {
        const name = operand(given, 0);
        const people = wholeNumber(operand(given, 1), 'the number of people');
        return change(host, (document) => {
          if (!Object.hasOwn(document.thresholds, name))
            throw usage(`the classes are ${Object.keys(document.thresholds).join(', ')}`);
          return { thresholds: { ...document.thresholds, [name]: people } };
        });
      },
    },
    {
      name: 'trust-renew',
      about: 'extend the trust document before it expires',
      operands: [],
      options: [['--days <days>', `how long it is good from now on, ${defaultDays} if not said, at most 400`]],
      params: (host, given) =>
        change(host, () => ({}), wholeNumber(option(given, 'days') ?? String(defaultDays), '--days')),
    },
    {
      name: 'trust-change',
      about: 'put a whole trust document from a file in the place of the one in force',
      operands: [],
      options: [['--document <file>', 'JSON of the new document, one version higher']],
      params: async (host, given) => {
        const { before } = change(host, () => ({}));
        const text = await given.readFile(requiredOption(given, 'document'));
        try {
          return { before, document: JSON.parse(text) as unknown };
        } catch {
          throw usage('--document has to be JSON');
        }
      },
    },
  ],
  meaning: ({ before, document }, host) => {
    const { trust } = host;
    if (trust === undefined || digestOfTrust(trust) !== before)
      return meaning(`replace the trust document of ${host.hostId} with version ${document.version}`, {
        notes: ['It starts from another document than the one in force: the host will refuse.'],
        classes: ['trust'],
        people: peopleForChange(document, document),
      });
    const diff = diffTrust(trust, document);
    return meaning(`replace trust document ${trust.version} of ${host.hostId} with version ${document.version}`, {
      ...diff,
      classes: ['trust'],
      people: peopleForChange(trust, document),
    });
  },
};

/** The highest of all thresholds before and after; two people unless root said on both that one runs the host [R14]. */
function peopleForChange(before: TrustDocument, after: TrustDocument): number {
  const alone = before.loneOperator && after.loneOperator;
  return Math.max(alone ? 1 : 2, ...Object.values(before.thresholds), ...Object.values(after.thresholds));
}

/** The document after the one in force; its time to live goes on as it was unless `days` sets it anew. */
function change(
  host: VerifiedHost,
  edit: (document: TrustDocument) => Partial<TrustDocument> | Readonly<Record<string, unknown>>,
  days?: number,
): { readonly before: string; readonly document: object } {
  const current = host.trust;
  if (current === undefined)
    throw notShown(
      `${host.hostId} reports no trust document to start from`,
      'put the first one there as root: felhom-agent trust init',
    );
  const issuedAt = Math.max(host.statement.at, current.issuedAt);
  // What expires within a day is as good as gone: a change of something else renews it too.
  const lasts = days === undefined && current.expiresAt - issuedAt > day ? current.expiresAt : undefined;
  const document = {
    ...current,
    version: current.version + 1,
    issuedAt,
    expiresAt: lasts ?? issuedAt + (days ?? defaultDays) * day,
    ...edit(current),
  };
  return { before: digestOfTrust(current), document };
}

function purposes(words: readonly string[]): Signer['signs'] {
  const chosen = words.length === 0 ? ['jobs'] : [...new Set(words)];
  return chosen.map((word) => {
    if (word === 'jobs') return signatureNamespaces.job;
    if (word === 'releases') return signatureNamespaces.release;
    throw usage('--signs takes jobs and releases');
  });
}
