/** Several loops as one: when one fails or the signal comes, all end, and it is over when the last one has ended. */
export async function together(
  loops: readonly ((signal: AbortSignal) => Promise<void>)[],
  signal: AbortSignal,
): Promise<void> {
  const failing = new AbortController();
  const both = AbortSignal.any([signal, failing.signal]);
  let first: { readonly error: unknown } | undefined;
  await Promise.all(
    loops.map((loop) =>
      loop(both).catch((error: unknown) => {
        if (!both.aborted) first = { error };
        failing.abort();
      }),
    ),
  );
  if (first !== undefined) throw first.error;
}
