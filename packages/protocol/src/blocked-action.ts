/**
 * A blocked action: something desired state asks for that only a signature allows. Its digest is what the operator
 * signs, so the hashed document holds exactly what the signature is about and nothing that changes by itself [R40]:
 *
 *   in    what is asked for (verb, target values), of whom (host epoch, uid and incarnation), and what is lost
 *   out   times, observed sizes, free text, the generation that asked
 *
 * A target value stays in even where it is a size: "shrink to 2048" must not be good for "shrink to 16".
 */
import { z } from 'zod';
import { canonicalDigest } from './canonical.ts';
import { digest, hostEpoch } from './ids.ts';
import type { Digest, GuestUid } from './ids.ts';

/** The four gates, strictest first: what a compromised hub must never be able to do. */
export const effectClasses = ['destroy', 'disclose', 'deploy', 'divert'] as const;
export const effectClass = z.enum(effectClasses);
export type EffectClass = z.output<typeof effectClass>;

const slug = z.string().regex(/^[a-z][a-z0-9-]{0,59}$/);
/** Room for a whole network line or a long volume id. */
const item = z.string().min(1).max(1024);
const parameter = z.union([z.string().max(1024), z.number().int(), z.boolean(), z.null(), z.array(item).max(64)]);

export const maxLossSet = 1024;

/** Volume ids, the identity of a target, an image digest, the connection that is given up. Sorted, each once. */
export const lossSetItems = z
  .array(item)
  .max(maxLossSet)
  .refine((items) => items.every((x, at) => at === 0 || (items[at - 1] ?? '') < x), 'must be sorted, each item once');

/** The document that is hashed and signed. */
export const blockedDocument = z.strictObject({
  v: z.literal(1),
  hostEpoch,
  effectClass,
  /** `<uid>.<incarnation>`; a guest that does not exist yet goes by its name, the host by `host`. */
  subject: z.string().regex(/^(?:[a-z2-7]{26}\.[1-9]\d{0,9}|guest:[a-z0-9-]{1,40}|host)$/),
  verb: slug,
  parameters: z.record(z.string().regex(/^[a-zA-Z][a-zA-Z0-9]{0,39}$/), parameter),
  lossSet: lossSetItems,
});
export type BlockedDocument = z.output<typeof blockedDocument>;

export interface BlockedActionParts {
  readonly hostEpoch: string;
  readonly effectClass: EffectClass;
  readonly subject: BlockedSubject;
  readonly verb: string;
  readonly parameters: Readonly<Record<string, string | number | boolean | null | readonly string[]>>;
  readonly lossSet: readonly string[];
}

export type BlockedSubject =
  | { readonly is: 'guest'; readonly uid: GuestUid; readonly incarnation: number }
  | { readonly is: 'new-guest'; readonly name: string }
  | { readonly is: 'host' };

/** Puts the parts in the one order they have. Throws where a part is outside the schema: that is a bug of the caller. */
export function makeBlockedDocument(parts: BlockedActionParts): BlockedDocument {
  return blockedDocument.parse({
    v: 1,
    hostEpoch: parts.hostEpoch,
    effectClass: parts.effectClass,
    subject: subjectText(parts.subject),
    verb: parts.verb,
    parameters: parts.parameters,
    lossSet: [...new Set(parts.lossSet)].sort(),
  });
}

function subjectText(subject: BlockedSubject): string {
  switch (subject.is) {
    case 'guest':
      return `${subject.uid}.${subject.incarnation}`;
    case 'new-guest':
      return `guest:${subject.name}`;
    case 'host':
      return 'host';
  }
}

/** What `felhom approve` signs. */
export function digestOfBlocked(document: BlockedDocument): Digest {
  return canonicalDigest(document);
}

/** As it travels in a report: the document, its digest, and words for people that nothing is derived from. */
export const blockedAction = z
  .strictObject({
    document: blockedDocument,
    digest,
    /** What would happen and what would be lost. */
    text: z.string().max(1000),
    /** Milliseconds since the epoch on the host's clock: since when it is being asked for. */
    since: z.number().int().min(0),
  })
  .refine((action) => digestOfBlocked(action.document) === action.digest, 'the digest must be that of the document');
export type BlockedAction = z.output<typeof blockedAction>;
