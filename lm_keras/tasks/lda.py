"""gensim's online variational Bayes for topics (Hoffman, Blei & Bach 2010), with each text of equal weight."""

import numpy as np
from gensim.matutils import dirichlet_expectation
from gensim.models.ldamodel import LdaModel, update_dir_prior


class Lda(LdaModel):
    """LdaModel, for batches of any size, the last one of a pass too, which holds what is left.

    gensim lets each batch, however small, stand for the whole corpus: of 101 texts in batches of 100 the last one
    would make up a fifth of the topics, and lead a learned alpha to where it fits that text alone.
    `bar`, of tqdm, is told the number of texts of each batch.
    """

    def __init__(self, *args, bar=None, **options):
        self._gammas, self._bar = [], bar
        super().__init__(*args, **options)

    def do_mstep(self, rho, other, extra_pass=False):
        """Weighs a batch by its number of texts."""
        super().do_mstep(rho * other.numdocs / min(self.chunksize, self.state.numdocs), other, extra_pass)
        if self._bar is not None:
            self._bar.update(other.numdocs)

    def update_alpha(self, gammat, rho):
        """One Newton step for a pass, over all its texts (Blei, Ng & Jordan 2003, A.4.2), in float64.

        In float32 the step divides by 0 where one topic has nearly all of alpha; of one topic it always does.
        """
        self._gammas.append(gammat)
        if self.num_topics > 1 and sum(map(len, self._gammas)) == self.state.numdocs:
            logs = dirichlet_expectation(np.concatenate(self._gammas).astype("float64")).mean(0)
            alpha = update_dir_prior(self.alpha.astype("float64"), self.state.numdocs, logs, rho)
            self.alpha, self._gammas = alpha.astype(self.dtype), []
        return self.alpha
