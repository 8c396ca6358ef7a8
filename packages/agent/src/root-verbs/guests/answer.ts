/** What root's verbs about guests answer. */
export type GuestAnswer =
  | { readonly is: 'done' }
  /** Nothing was changed: `refused` because a proof is missing, `busy` because one may be there later. */
  | { readonly is: 'refused' | 'busy'; readonly text: string };

interface Not {
  readonly is: 'refused' | 'busy';
  readonly why: string;
}

/** Answers that begin with `what`. */
export const said = (what: string) => ({
  not: ({ is, why }: Not): { readonly is: Not['is']; readonly text: string } => ({
    is,
    text: `${what}: ${why.trim().slice(0, 600)}`,
  }),
  /** What cannot be looked at proves nothing, and may be there to look at later. */
  proof: <T>(look: () => T): T | Not => {
    try {
      return look();
    } catch (error) {
      return { is: 'busy', why: error instanceof Error ? error.message : String(error) };
    }
  },
});
