/* exp, for a file that includes a micro_*.h before.

   Processors need a hundred times as long for a result between 0 and 2^-126. Hidden keys of attention
   give exp of the lowest number, so a small x is cut where the result is 0 at once: LOWEST_POWER, at
   which vf_scale gets far below 2^-149. */

#if defined(HAS_SCALE)
#define LOWEST_POWER (-400.0f) /* the instruction is slow down to 2^-500 */
#else
#define LOWEST_POWER (-170.0f) /* half of the power is 2^-123, which is not below 2^-126 */
#endif

/* e^x for x below 89: x = n log 2 + r with |r| <= log(2) / 2, e^r as a polynomial of degree 6, times
   2^n. Largest error 1.1 ulp; below -104 it is 0; not-a-number stays. */
INLINE vf vf_exp_below_89(vf x)
{
    const vf big = vf_set1(12582912.0f); /* 1.5 * 2^23: beside it a sum has no fraction */
    x = vf_max(vf_set1(LOWEST_POWER), x);
    const vf n = vf_sub(vf_fma(x, vf_set1(1.44269504f), big), big);
    vf r = vf_fma(n, vf_set1(-0.693359375f), x); /* log 2 in two parts, the first exact times n */
    r = vf_fma(n, vf_set1(2.12194440e-4f), r);
    vf p = vf_set1(1.3981999507e-3f);
    p = vf_fma(p, r, vf_set1(8.3334519073e-3f));
    p = vf_fma(p, r, vf_set1(4.1665795894e-2f));
    p = vf_fma(p, r, vf_set1(1.6666665459e-1f));
    p = vf_fma(p, r, vf_set1(5.0000001201e-1f));
    p = vf_fma(vf_mul(r, r), p, vf_add(r, vf_set1(1.0f)));
    return vf_scale(p, n);
}

/* e^x; above 88.73 it is infinite. */
INLINE vf vf_exp(vf x) { return vf_exp_below_89(vf_min(vf_set1(89.0f), x)); }
