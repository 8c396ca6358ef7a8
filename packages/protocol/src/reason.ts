/**
 * Why something did not work, ready for people and for machines.
 * `code` is a key of the error catalogue in `errors.ts`; the agent's adapters classify into it exactly once.
 */
export interface Reason {
  readonly code: string;
  /** "cannot … : reason", with the ids in it. */
  readonly text: string;
  readonly retry: 'never' | 'later' | 'operator';
  /** The tail of a task log and the like. Never secrets. */
  readonly detail?: string;
}
