// SPDX-License-Identifier: GPL-2.0
/* A PWM chip that drives nothing: the kernel's own /sys/class/pwm in front of no hardware. Debian has none such. */
#include <linux/module.h>
#include <linux/platform_device.h>
#include <linux/pwm.h>

static int pwm_sim_apply(struct pwm_chip *chip, struct pwm_device *pwm, const struct pwm_state *state)
{
	/* As much hardware: no period above a second. */
	return state->enabled && state->period > NSEC_PER_SEC ? -ERANGE : 0;
}

static const struct pwm_ops pwm_sim_ops = { .apply = pwm_sim_apply, .owner = THIS_MODULE };
static struct pwm_chip pwm_sim = { .ops = &pwm_sim_ops, .npwm = 2 };
static struct platform_device *device;

static int __init pwm_sim_init(void)
{
	int failed;

	device = platform_device_register_simple("pwm-sim", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(device))
		return PTR_ERR(device);
	pwm_sim.dev = &device->dev;
	failed = pwmchip_add(&pwm_sim);
	if (failed)
		platform_device_unregister(device);
	return failed;
}

static void __exit pwm_sim_exit(void)
{
	pwmchip_remove(&pwm_sim);
	platform_device_unregister(device);
}

module_init(pwm_sim_init);
module_exit(pwm_sim_exit);
MODULE_LICENSE("GPL");
