/**
 * The one document of an effect: what a blocked action reports, an operator approves, and a signature covers [R40].
 * Whoever has the effect has the digest, so what was signed and what would happen now are compared by one number.
 */
import { canonicalDigest, effectClasses, makeBlockedDocument } from '@felhom/protocol';
import type { BlockedDocument, EffectClass } from '@felhom/protocol';
import { askedFor } from './asked.ts';
import type { Asked } from './asked.ts';
import type { BuiltEffect } from './effects.ts';
import type { GuestFacts } from './facts.ts';
import type { GateRow } from './gate-row.ts';
import { rowOf } from './gate-table.ts';

/**
 * With facts, the loss is everything that anybody knows of; with `guest: undefined` it is what the effect names, which
 * turns the parameters of a signed job into what its signature covers. Throws a `ZodError` where a value is outside the
 * document's schema, which what was parsed by the schema of jobs or of desired state never is.
 */
export function actionDocument(
  effect: BuiltEffect,
  facts: { readonly hostEpoch: string; readonly guest: GuestFacts | undefined },
): BlockedDocument {
  return documentOf(askedFor(effect, facts.guest), rowOf(effect.kind), facts.hostEpoch);
}

export function documentOf(asked: Asked, row: GateRow, hostEpoch: string): BlockedDocument {
  return makeBlockedDocument({
    hostEpoch,
    effectClass: strictestOf(row),
    subject: asked.subject,
    verb: asked.verb,
    parameters: Object.fromEntries(
      Object.entries(asked.parameters).map(([key, value]) => [key, typeof value === 'string' ? bounded(value) : value]),
    ),
    lossSet: asked.loss.map(bounded),
  });
}

/** What is asked of an operator for its number alone guards none of the four gates and counts as the mildest. */
function strictestOf(row: GateRow): EffectClass {
  return effectClasses.find((effectClass) => row.classes.includes(effectClass)) ?? 'divert';
}

/** Observed text may be long or broken; here it only has to be the same when it is the same. */
function bounded(text: string): string {
  const formed = text.toWellFormed();
  return formed.length <= 1000 ? formed : `sha256 ${canonicalDigest(formed)}`;
}
