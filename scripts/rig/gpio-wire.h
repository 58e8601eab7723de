/*
 * Wires for gpio-sim: on a chip whose label begins with "wired" a wire leads from each even line to the odd one after it.
 * Whatever changes the level of the even line, its release too, is an edge on the odd one. Included where the functions
 * below are known, before they are given to the chip.
 */
static void gpio_sim_wire(struct gpio_chip *gc, unsigned int offset)
{
	struct gpio_sim_chip *chip = gpiochip_get_data(gc);
	int value;

	if (strncmp(gc->label, "wired", 5) || (offset & 1) || offset + 1 >= gc->ngpio)
		return;
	value = gpio_sim_get(gc, offset);
	if (value != gpio_sim_get(gc, offset + 1))
		gpio_sim_apply_pull(chip, offset + 1, value);
}

static void gpio_sim_wired_set(struct gpio_chip *gc, unsigned int offset, int value)
{
	gpio_sim_set(gc, offset, value);
	gpio_sim_wire(gc, offset);
}

static void gpio_sim_wired_set_multiple(struct gpio_chip *gc, unsigned long *mask, unsigned long *bits)
{
	unsigned int offset;

	gpio_sim_set_multiple(gc, mask, bits);
	for_each_set_bit(offset, mask, gc->ngpio)
		gpio_sim_wire(gc, offset);
}

static int gpio_sim_wired_direction_output(struct gpio_chip *gc, unsigned int offset, int value)
{
	gpio_sim_direction_output(gc, offset, value);
	gpio_sim_wire(gc, offset);
	return 0;
}

static void gpio_sim_wired_free(struct gpio_chip *gc, unsigned int offset)
{
	gpio_sim_free(gc, offset);
	gpio_sim_wire(gc, offset);
}
